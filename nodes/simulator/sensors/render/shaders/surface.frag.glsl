// Colour, identity and depth of one pixel of a surface.
#include light.glsl
#include material.glsl

in vec3 odom;
in vec3 local;
in vec3 normal_odom;
in vec3 albedo;
in float along_axis;
flat in uint material_id;
flat in int object_id;
flat in vec4 lamp_levels;

layout(location = 0) out vec4 colour;
layout(location = 1) out ivec2 what; // object id, bits of the depth

void main() {
    vec3 to_eye = normalize(eye - odom);
    vec3 n = normalize(normal_odom);
    if (dot(n, to_eye) < 0.0) n = -n;
    Surface s = Surface(albedo, n, 0.0, 0.0, vec3(0.0), 0.0);
    bool moves = object_id >= 0;
    look(s, material_id, moves ? local : odom, odom, moves, lamp_levels);
    colour = vec4(seen(shade(s, odom, to_eye)), 1.0);
    what = ivec2(object_id, floatBitsToInt(along_axis));
}
