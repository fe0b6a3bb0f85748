#include light.glsl
in vec3 ray;
layout(location = 0) out vec4 colour;
layout(location = 1) out ivec2 what;
void main() {
    vec3 d = normalize(ray);
    vec3 light = textureLod(sky_map, on_sky(d), 0.0).rgb;
#ifdef SUN
    light += sun_light * 30.0 * smoothstep(0.99985, 0.99997, dot(d, sun_direction));
#endif
    colour = vec4(seen(light), 1.0);
    what = ivec2(-1, floatBitsToInt(1.0 / 0.0));
}
