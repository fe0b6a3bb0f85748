// Colour, identity and depth of one pixel of a surface.
#include light.glsl
#include material.glsl

in vec4 place; // odom; m along the axis
in vec3 normal_odom;
in vec3 albedo;
flat in ivec2 ids; // material, object
#ifdef LOOK_BODY
in vec3 local;
flat in vec4 lamp_levels;
#endif

layout(location = 0) out vec4 colour;
layout(location = 1) out ivec2 what; // object id, bits of the depth

void main() {
    vec3 odom = place.xyz;
    vec3 to_eye = normalize(eye - odom);
    vec3 n = normalize(normal_odom);
    if (dot(n, to_eye) < 0.0) n = -n;
    Surface s = Surface(albedo, n, 0.0, 0.0, vec3(0.0), 0.0);
#ifdef LOOK_BODY
    look(s, uint(ids.x), local, ids.y >= 0, lamp_levels);
#else
    look(s, uint(ids.x), odom);
#endif
    colour = vec4(seen(shade(s, odom, to_eye)), 1.0);
    what = ivec2(ids.y, floatBitsToInt(place.w));
}
