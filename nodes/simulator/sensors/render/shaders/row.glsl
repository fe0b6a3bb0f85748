// Which row of the image a point of the camera frame falls on: 0 = top edge, 1 = bottom edge.
uniform vec4 intrinsics; // fx, fy, cx, cy
uniform float radial[6];
uniform vec2 tangential; // p1, p2
uniform float limit;     // angle from the axis at which the model ends, rad
uniform float image_height;

float row_fraction(vec3 p) {
#ifdef KANNALA_BRANDT
    float rho = max(length(p.xy), 1e-9);
    float angle = min(atan(rho, p.z), limit), a2 = angle * angle;
    float radius = angle * (1.0 + a2 * (radial[0] + a2 * (radial[1] + a2 * (radial[2] + a2 * radial[3]))));
    float y = p.y * radius / rho;
#else
    vec2 q = p.xy / max(p.z, 1e-3);
#ifdef DISTORTED
    float most = tan(min(limit, 1.55));
    float r2 = min(dot(q, q), most * most);
    q *= sqrt(r2 / max(dot(q, q), 1e-12));
    float f = (1.0 + r2 * (radial[0] + r2 * (radial[1] + r2 * radial[2])))
            / (1.0 + r2 * (radial[3] + r2 * (radial[4] + r2 * radial[5])));
    float y = q.y * f + 2.0 * tangential.y * q.x * q.y + tangential.x * (r2 + 2.0 * q.y * q.y);
#else
    float y = q.y;
#endif
#endif
    return clamp((intrinsics.y * y + intrinsics.w + 0.5) / image_height, 0.0, 1.0);
}
