#include film.glsl
// Light that falls on a surface and what of it reaches the eye. Illuminance in kilolux; exposure makes it 0..1.
uniform vec3 eye;           // odom
uniform float exposure;
uniform vec3 sun_direction; // towards the sun
uniform vec3 sun_light, sky_light, horizon_light, ground_light;
uniform float wetness;
uniform sampler2D noise_map;
uniform sampler2D sky_map;
#ifdef SUN
uniform mat4 shadow_from_odom;
uniform sampler2DShadow static_shadow;
uniform sampler2DShadow moving_shadow;
#endif
#ifdef LAMPS
uniform sampler2D lamp_map; // seen from above: kilolux on what stands there
uniform vec3 lamp_map_place; // x, y of its middle, 1 / side
uniform vec4 beam_x, beam_y, beam_z; // to the ego's lamps: x ahead, y left, z up
#endif

const float PI = 3.14159265;

struct Surface {
    vec3 albedo;
    vec3 normal;
    float gloss;    // share of light that mirrors when seen square on
    float rough;    // 0 mirror .. 1 dull
    vec3 glow;      // kilolux
    float retro;    // gain over a white diffuser for light that comes from beside the eye
};

// Where a direction lies on the map of the sky; see textures.py.
vec2 on_sky(vec3 d) { return d.xy / (max(d.z, -0.17) + 1.0) * (0.5 / SKY_REACH) + 0.5; }

vec3 sky_in(vec3 d, float rough) {
    return textureLod(sky_map, on_sky(d), 1.0 + 5.0 * rough).rgb * 0.6; // less what a sky that is seen has more
}

#ifdef SUN
float sun_share(vec3 odom, vec3 n) {
    // A texel of the map is 6 to 12 cm wide: a surface that the sun grazes must look from that far before itself.
    float grazing = 1.0 - max(dot(n, sun_direction), 0.0);
    vec3 at = (shadow_from_odom * vec4(odom + (0.05 + 0.20 * grazing * grazing) * n + 0.05 * sun_direction, 1.0)).xyz;
    vec2 edge = smoothstep(0.5, 0.46, abs(at.xy - 0.5));
    float open = min(texture(static_shadow, at), texture(moving_shadow, at));
    return mix(1.0, open, edge.x * edge.y);
}
#endif

#ifdef LAMPS
// Low beam of a car with two lamps, in candela / 1000 by direction: sharp above the horizon, wide below, a step up to the right.
vec3 beam(vec3 odom, out vec3 towards) {
    vec4 p = vec4(odom, 1.0);
    vec3 b = vec3(dot(beam_x, p), dot(beam_y, p), dot(beam_z, p));
    float d2 = dot(b, b), ahead = max(b.x, 0.01);
    float up = b.z / ahead, side = b.y / ahead;
    float cut = -0.010 + 0.03 * smoothstep(0.0, -0.12, side);
    float intensity = 22.0 * exp(-side * side * 7.0) * smoothstep(cut + 0.015, cut - 0.01, up) * exp(16.0 * min(up, 0.0)) + 0.25;
    towards = -vec3(beam_x.xyz * b.x + beam_y.xyz * b.y + beam_z.xyz * b.z) * inversesqrt(d2);
    return vec3(1.0, 0.96, 0.88) * intensity * step(0.0, b.x) / max(d2, 1.0);
}
#endif

vec3 shade(Surface s, vec3 odom, vec3 to_eye) {
    vec3 n = s.normal;
    float sky_share = 0.5 + 0.5 * n.z;
    vec3 around = mix(mix(ground_light, horizon_light, min(2.0 * sky_share, 1.0)), sky_light, max(2.0 * sky_share - 1.0, 0.0));
    vec3 diffuse = around;
    vec3 mirrored = vec3(0.0);
    float facing = max(dot(n, to_eye), 0.0);
    // The facets of a rough surface that are seen at a grazing angle are those that turn towards the eye.
    float facet = sqrt(facing * facing + 0.2 * s.rough * s.rough);
    float dull = max(1.0 - facet, 0.0);
    float fresnel = s.gloss + (1.0 - s.gloss) * (1.0 - 0.9 * s.rough) * dull * dull * dull * dull * dull;
#ifdef SUN
    float open = sun_share(odom, n);
    float incidence = max(dot(n, sun_direction), 0.0);
    diffuse += sun_light * open * incidence;
#endif
#ifdef GLOSS
    vec3 r = reflect(-to_eye, n);
    vec3 sky = r.z > -0.02 ? sky_in(r, s.rough) : vec3(0.0);
    mirrored = mix(ground_light * 0.5, sky, smoothstep(-0.08, 0.12, r.z));
#ifdef SUN
    float power = mix(900.0, 12.0, s.rough);
    mirrored += sun_light * open * (power / 12.0) * pow(max(dot(r, sun_direction), 0.0), power);
#endif
#endif
    vec3 out_light = s.albedo * diffuse;
#ifdef LAMPS
    vec3 from;
    vec3 own = beam(odom, from);
    vec3 lamps = texture(lamp_map, (odom.xy - lamp_map_place.xy) * lamp_map_place.z + 0.5).rgb * exp(-max(odom.z, 0.0) * 0.25);
    out_light += s.albedo * (own * (max(dot(n, from), 0.0) + 0.04) + lamps * (0.35 + 0.65 * max(n.z, 0.0)));
    out_light += s.albedo * s.retro * own * smoothstep(0.1, 0.6, dot(n, from));
#endif
    return mix(out_light, mirrored, fresnel) + s.glow;
}

vec3 seen(vec3 light) { return film(light * exposure); }
