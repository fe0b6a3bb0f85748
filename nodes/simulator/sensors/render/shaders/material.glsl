// What a surface looks like close up. Numbers are indices into MATERIALS of world/material.py.
// A look is a group of materials with a program of its own: a software renderer takes every branch of a program.
const uint ASPHALT = 0u, MARKING = 1u, PAVEMENT = 2u, GRASS = 3u, CONCRETE = 4u, BRICK = 5u, FACADE = 6u, WINDOW = 7u,
    FOLIAGE = 8u, BARK = 9u, METAL = 10u, PAINT = 11u, GLASS = 12u, TYRE = 13u, PLASTIC = 14u, HEADLAMP = 15u,
    TAIL_LAMP = 16u, PLATE = 17u, SIGN = 18u, SKIN = 19u, CLOTH = 20u, STREET_LAMP = 21u;

const float MORTAR = 0.2; // share of a wall
const float ROOMS = 58.0; // red of the first pane; see scenario/building.py

float chance(vec2 cell) { return fract(sin(dot(cell, vec2(12.9898, 78.233))) * 43758.5453); }

// Along a wall and up it, m.
vec2 on_wall(vec3 p, vec3 n) {
    vec2 across = abs(n.z) > 0.9 ? vec2(1.0, 0.0) : normalize(vec2(-n.y, n.x));
    return vec2(dot(p.xy, across), abs(n.z) > 0.9 ? p.y : p.z);
}

vec3 turn_signal(vec3 p, float side) { return vec3(1.0, 0.42, 0.03) * 16.0 * step(0.05, p.y * side); }

#if defined(LOOK_GRASS) || defined(LOOK_ASPHALT) || defined(LOOK_MARKING) || defined(LOOK_PAVEMENT)
struct Ground { vec4 fine, mid, wide; };

Ground ground(vec3 p) {
    return Ground(texture(noise_map, p.xy * 0.55), texture(noise_map, p.yx * 0.061), texture(noise_map, p.xy * 0.0093));
}

void wet(inout Surface s, Ground g) {
    float water = wetness * smoothstep(0.75 - 0.55 * wetness, 0.95 - 0.35 * wetness, 0.6 * g.mid.g + 0.55 * g.wide.b);
    s.albedo *= 1.0 - 0.5 * wetness;
    s.gloss = 0.02 * max(wetness, water);
    s.rough = mix(0.9, 0.25, max(0.6 * wetness, water));
}
#endif

// p: of what stands in odom, of a body in its own frame.
#ifdef LOOK_BODY
void look(inout Surface s, uint material, vec3 p, bool moves, vec4 lamps) {
#else
void look(inout Surface s, uint material, vec3 p) {
#endif
#if defined(LOOK_GRASS)
    Ground g = ground(p);
    vec3 dry = vec3(1.35, 1.15, 0.75);
    s.albedo *= mix(vec3(1.0), dry, smoothstep(0.45, 0.75, g.wide.g));
    s.albedo *= 0.45 + 0.65 * g.fine.g + 0.35 * g.mid.g + 0.3 * (g.wide.r - 0.5);
    s.rough = 1.0;
#elif defined(LOOK_ASPHALT)
    Ground g = ground(p);
    s.albedo *= 0.80 + 0.55 * (g.fine.r - 0.5) + 0.35 * g.mid.g + 0.45 * (g.wide.b - 0.5);
    s.albedo *= 1.0 - 0.35 * smoothstep(0.60, 0.64, g.wide.g); // mended
    s.albedo *= 1.0 - 0.5 * smoothstep(0.015, 0.0, abs(g.mid.b - 0.5)); // cracks and seams
    wet(s, g);
#elif defined(LOOK_MARKING)
    Ground g = ground(p);
    float worn = smoothstep(0.50, 0.75, 0.55 * g.fine.g + 0.5 * g.mid.b) * 0.8;
    s.albedo = mix(s.albedo * (0.88 + 0.2 * g.mid.g), vec3(0.09), worn);
    s.retro = 6.0;
    wet(s, g);
#elif defined(LOOK_PAVEMENT)
    Ground g = ground(p);
    vec2 slab = abs(fract(p.xy * 1.6) - 0.5);
    float joint = smoothstep(0.47, 0.49, max(slab.x, slab.y)) * clamp(1.5 - 25.0 * fwidth(p.x), 0.0, 1.0);
    s.albedo *= 0.82 + 0.25 * g.mid.g + 0.2 * (g.fine.r - 0.5) + 0.12 * chance(floor(p.xy * 1.6));
    s.albedo *= 1.0 - 0.35 * joint;
    wet(s, g);
#elif defined(LOOK_WALL) || defined(LOOK_BRICK) || defined(LOOK_WINDOW)
    vec2 q = on_wall(p, s.normal);
    vec4 mid = texture(noise_map, q * 0.083), wide = texture(noise_map, q * 0.017);
    s.rough = 1.0;
#ifdef LOOK_WINDOW
    float room = floor(pow(s.albedo.r, 1.0 / 2.2) * 255.0 + 0.5) - ROOMS; // each pane's own number, 0..15
    s.albedo = vec3(0.02, 0.025, 0.03) + 0.10 * step(11.5, room);
    s.gloss = 0.10;
    s.rough = 0.05;
#ifdef LAMPS
    vec3 bulb = room < 0.5 ? vec3(0.85, 0.9, 1.0) : vec3(1.0, 0.72, 0.40);
    s.glow = step(room, 5.5) * bulb * (0.008 + 0.004 * room) * (0.6 + 0.6 * mid.g);
#endif
#else
    s.albedo *= 0.80 + 0.25 * mid.g + 0.25 * wide.b;
#endif
#ifdef LOOK_BRICK
    float row = floor(q.y / 0.075);
    vec2 brick = vec2(q.x / 0.25 + 0.5 * mod(row, 2.0), q.y / 0.075);
    float near = clamp(1.6 - 40.0 * fwidth(q.y), 0.0, 1.0); // before a row is two pixels high
    vec2 in_brick = abs(fract(brick) - 0.5);
    float mortar = max(smoothstep(0.44, 0.48, in_brick.x), smoothstep(0.36, 0.44, in_brick.y));
    s.albedo *= mix(1.0, 0.75 + 0.5 * chance(floor(brick)), near);
    s.albedo = mix(s.albedo, vec3(0.42, 0.40, 0.37), mix(MORTAR, mortar, near) * float(abs(s.normal.z) < 0.3));
#endif
#elif defined(LOOK_PLANT)
    vec2 q = vec2(dot(p.xy, vec2(0.8, 0.6)) , p.z) + 0.37 * p.yx;
    vec4 fine = texture(noise_map, q * 0.42), mid = texture(noise_map, q.yx * 0.11);
    s.rough = 1.0;
    if (material == FOLIAGE) {
        float leaf = 0.65 * fine.g + 0.45 * mid.b;
        s.albedo *= 0.25 + 1.5 * smoothstep(0.25, 0.85, leaf) * vec3(1.0, 1.0, 0.8);
        s.normal = normalize(s.normal + 1.4 * (vec3(fine.b, mid.r, fine.r) - 0.5));
    } else {
        s.albedo *= 0.6 + 0.8 * texture(noise_map, vec2(q.x * 1.3, q.y * 0.2)).g;
    }
#else
    vec4 grain = texture(noise_map, (p.xy + p.z * vec2(0.31, 0.73)) * 0.9);
    s.rough = 0.6;
    if (material == PAINT) {
        s.gloss = 0.045;
        s.rough = 0.12;
        s.albedo *= 0.99 - 0.08 * smoothstep(0.75, 0.25, p.z); // dirt below
        if (!moves) s.rough = 0.5;
    } else if (material == GLASS) {
        s.gloss = 0.09;
        s.rough = 0.04;
    } else if (material == METAL) {
        s.gloss = 0.35;
        s.rough = 0.35;
    } else if (material == CLOTH) {
        s.albedo *= 0.72 + 0.5 * grain.g;
        s.rough = 1.0;
    } else if (material == SKIN || material == TYRE) {
        s.albedo *= 0.85 + 0.25 * grain.g;
        s.rough = 0.9;
    } else if (material == HEADLAMP) {
        s.gloss = 0.08;
        s.rough = 0.1;
        s.retro = 1.0;
        s.glow = lamps.x * vec3(1.0, 0.97, 0.90) * 25.0 + turn_signal(p, lamps.w);
    } else if (material == TAIL_LAMP) {
        s.gloss = 0.05;
        s.rough = 0.2;
        s.retro = 2.0;
        s.glow = vec3(1.0, 0.05, 0.03) * (lamps.y * 0.6 + lamps.z * 25.0) + turn_signal(p, lamps.w);
    } else if (material == PLATE || material == SIGN) {
        s.retro = 25.0;
        s.gloss = 0.03;
        s.rough = 0.4;
    } else if (material == STREET_LAMP) {
        s.glow = vec3(1.0, 0.84, 0.62) * 8.0 * STREET_LAMPS;
    } else {
        s.gloss = 0.03;
        s.rough = 0.5;
    }
#endif
}
