// A square around a lamp, as large as its glow can be told from black.
#include row.glsl

in vec3 first, last; // camera frame, at the first and the last row
in vec3 light;       // over that of white: at one focal length from the lamp, by the square law

uniform mat3 face_R_camera;
uniform vec4 face; // fx, fy, cx, cy of the view
uniform vec2 face_size;

out vec2 at; // pixels from the lamp
flat out vec3 brightness;
flat out float radius;

const float FAINT = 0.003, SMALLEST = 1.5, LARGEST = 90.0, BEFORE = 0.3; // m; a lamp's own housing does not hide it

void main() {
    float s = 0.5;
    for (int i = 0; i < ROW_STEPS; i++) s = row_fraction(mix(first, last, s));
    vec3 v = face_R_camera * mix(first, last, s);
    v *= 1.0 - min(BEFORE / max(length(v), 0.6), 0.5);
    brightness = light * face.x * face.x;
    radius = min(sqrt(max(brightness.r, max(brightness.g, brightness.b)) / FAINT), LARGEST);
    at = (vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0) * radius;
    vec2 pixel = face.xy * v.xy + (face.zw + 0.5 + at) * v.z;
    gl_Position = vec4(2.0 * pixel / face_size - v.z, v.z - 2.0 * NEAR, v.z);
    if (radius < SMALLEST || v.z < NEAR) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
}
