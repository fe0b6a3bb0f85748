in vec2 at;
in vec3 candela;
flat in vec2 kind;
layout(location = 0) out vec4 light;
void main() {
    float d2 = dot(at, at) + kind.y * kind.y;
    float share = kind.y / sqrt(d2); // cosine of the incidence on the ground
    if (kind.x == 0.0) {
        share *= smoothstep(26.0, 12.0, length(at));
    } else if (kind.x == 1.0) {
        float side = at.y / max(at.x, 0.1);
        share = smoothstep(0.0, 3.0, at.x) * exp(-9.0 * side * side) * smoothstep(43.0, 20.0, at.x) * 0.25;
    } else {
        share = smoothstep(0.5, -0.5, at.x) * smoothstep(4.0, 0.5, length(at));
    }
    light = vec4(candela * share / max(d2, 1.0), 1.0);
}
