#include light.glsl
in vec3 ray;
layout(location = 0) out vec4 colour;
layout(location = 1) out ivec2 what;
void main() {
    vec3 d = normalize(ray);
    vec2 at = vec2(atan(d.y, d.x) / (2.0 * PI), (asin(d.z) / PI * 180.0 + 10.0) / 100.0);
    vec3 light = textureLod(sky_map, at, 0.0).rgb;
#ifdef SUN
    light += sun_light * 30.0 * smoothstep(0.99985, 0.99997, dot(d, sun_direction));
#endif
    colour = vec4(seen(light), 1.0);
    what = ivec2(-1, floatBitsToInt(1.0 / 0.0));
}
