// Light that the lens scatters around a lamp.
#include film.glsl
in vec2 at;
flat in vec3 brightness;
flat in float radius;
layout(location = 0) out vec4 colour;

void main() {
    float r2 = dot(at, at), edge = max(1.0 - r2 / (radius * radius), 0.0);
    vec3 x = brightness * edge * edge / (1.0 + r2);
    colour = vec4(film(x), 1.0);
}
