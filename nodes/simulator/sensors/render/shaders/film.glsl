// The film's curve (Narkowicz 2015, a fit of ACES), then x ^ (1 / 2.2) to a third of a grey level, by roots, which are
// cheaper. x: exposed light.
vec3 film(vec3 x) {
    x = clamp(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0.0, 1.0);
    vec3 root = sqrt(x), fourth = sqrt(root);
    return root * (1.0978 - 0.1540 * fourth) + 0.0550 * fourth;
}
