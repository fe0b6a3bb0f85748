// Places a vertex where the rolling shutter sees it: at the time at which its own row is read.
#include row.glsl

in vec3 position;
in vec4 normal;
in vec3 colour; // linear
in uint material;

// Of each instance, rows of 3x4 transforms: to the camera at the first and at the last row, to odom at the middle row.
in vec4 first_x, first_y, first_z;
in vec4 last_x, last_y, last_z;
in vec4 odom_x, odom_y, odom_z;
in vec4 paint; // linear red, green, blue; object id
in vec4 lamps; // headlamps, tail lamps, brake lamps, 0..1; turn signal, 1 left, -1 right

uniform mat3 face_R_camera;
uniform vec4 face; // fx, fy, cx, cy of the view
uniform vec2 face_size;

out vec4 place; // odom; m along the axis
out vec3 normal_odom;
out vec3 albedo;
flat out ivec2 ids; // material, object
#ifdef LOOK_BODY
out vec3 local;
flat out vec4 lamp_levels;
#endif

const uint PAINT = 11u, MARKING = 1u, ASPHALT = 0u, PAVEMENT = 2u;

void main() {
    vec4 p = vec4(position, 1.0);
    vec3 at_first = vec3(dot(first_x, p), dot(first_y, p), dot(first_z, p));
    vec3 at_last = vec3(dot(last_x, p), dot(last_y, p), dot(last_z, p));
    float s = 0.5;
    for (int i = 0; i < ROW_STEPS; i++) s = row_fraction(mix(at_first, at_last, s));
    vec3 camera = mix(at_first, at_last, s);

    place = vec4(dot(odom_x, p), dot(odom_y, p), dot(odom_z, p), camera.z);
    vec3 n = (normal.xyz - 0.5) * (255.0 / 127.0);
    normal_odom = vec3(dot(odom_x.xyz, n), dot(odom_y.xyz, n), dot(odom_z.xyz, n));
    albedo = material == PAINT && paint.a >= 0.0 ? paint.rgb : colour;
    ids = ivec2(material, paint.a);
#ifdef LOOK_BODY
    local = position;
    lamp_levels = lamps;
#endif

    // What is painted on the road wins over the road, and the road over the ground, though they all but coincide.
    float layer = material == MARKING ? 2.0 : material == ASPHALT || material == PAVEMENT ? 1.0 : 0.0;
    vec3 v = face_R_camera * camera;
    vec2 pixel = face.xy * v.xy + (face.zw + 0.5) * v.z;
    gl_Position = vec4(2.0 * pixel / face_size - v.z, v.z - 2.0 * NEAR * (1.0 + 1e-4 * layer), v.z);
}
