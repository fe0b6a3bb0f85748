// Only where things are, seen from the sun.
in vec3 position;
in vec4 odom_x, odom_y, odom_z;
uniform mat4 shadow_from_odom;
void main() {
    vec4 p = vec4(position, 1.0);
    vec3 at = (shadow_from_odom * vec4(dot(odom_x, p), dot(odom_y, p), dot(odom_z, p), 1.0)).xyz;
    gl_Position = vec4(2.0 * at - 1.0, 1.0);
}
