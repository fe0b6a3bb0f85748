// A triangle over the whole view; the ray of each pixel in odom axes.
uniform vec4 face;
uniform vec2 face_size;
uniform mat3 odom_R_face;
out vec3 ray;
void main() {
    vec2 corner = vec2(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0);
    ray = odom_R_face * vec3(((corner + 1.0) * 0.5 * face_size - 0.5 - face.zw) / face.xy, 1.0);
    gl_Position = vec4(corner, 0.999999, 1.0);
}
