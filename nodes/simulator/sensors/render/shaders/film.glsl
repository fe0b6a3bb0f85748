// The film's curve (Narkowicz 2015, a fit of ACES), then sRGB. x: exposed light.
vec3 film(vec3 x) {
    x = clamp(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0.0, 1.0);
    return pow(x, vec3(1.0 / 2.2));
}
