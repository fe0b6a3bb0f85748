// A rectangle of light on the ground, drawn on the map that is seen from above.
in vec2 place;   // odom, of the lamp
in vec2 ahead;   // unit
in vec3 colour;  // candela / 1000
in vec2 form;    // 0 street lamp, 1 headlamps, 2 tail lamps; height, m
uniform vec3 lamp_map_place;
out vec2 at; // ahead of and beside the lamp, m
out vec3 candela;
flat out vec2 kind;
void main() {
    vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0;
    float reach = form.x == 0.0 ? 26.0 : form.x == 1.0 ? 22.0 : 4.0;
    at = corner * reach + vec2(form.x == 1.0 ? 21.0 : form.x == 2.0 ? -3.0 : 0.0, 0.0);
    vec2 p = place + at.x * ahead + at.y * vec2(-ahead.y, ahead.x);
    candela = colour;
    kind = form;
    gl_Position = vec4(2.0 * (p - lamp_map_place.xy) * lamp_map_place.z, 0.0, 1.0);
}
