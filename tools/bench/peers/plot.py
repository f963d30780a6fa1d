"""Curves of recall against queries a second, as an SVG written by hand."""

import math
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 480, 70, 190, 40, 50
RECALLS = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995)
LOWEST, HIGHEST = 0.8, 0.9997
COLOURS = ("#d00000", "#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf", "#ff7f0e", "#393b79")


def svg(curves, title):
    """`curves`: (name, [(recall, queries a second)]), the first drawn boldest. The recall axis is logarithmic in what is
    missed; what is above its end is drawn at the end, what is below its start is left out."""
    curves = [(name, [p for p in points if p[0] >= LOWEST]) for name, points in curves]
    speeds = [speed for _, points in curves for _, speed in points] or [1, 10]
    low, high = math.floor(math.log10(min(speeds))), math.log10(max(speeds)) + 0.1

    def x(recall):
        part = math.log((1 - LOWEST) / (1 - min(recall, HIGHEST))) / math.log((1 - LOWEST) / (1 - HIGHEST))
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def y(speed):
        return HEIGHT - BOTTOM - (math.log10(speed) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>']
    for recall in RECALLS:
        out.append(f'<line x1="{x(recall):.1f}" x2="{x(recall):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>'
                   f'<text x="{x(recall):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{recall}</text>')
    for power in range(low, math.ceil(high)):
        for step in (1, 2, 5):
            if math.log10(step) + power <= high:
                at = y(step * 10.0 ** power)
                out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="{"#bbb" if step == 1 else "#eee"}"/>'
                           f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{step * 10.0 ** power:,.0f}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">recall@10 (logarithmic in what is missed)</text>')
    for at, (name, points) in enumerate(curves):
        colour, bold = COLOURS[at % len(COLOURS)], 3 if at == 0 else 1.5
        path = " ".join(f"{x(recall):.1f},{y(speed):.1f}" for recall, speed in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{bold}"/>')
        out += [f'<circle cx="{x(r):.1f}" cy="{y(s):.1f}" r="{bold + 1}" fill="{colour}"/>' for r, s in points]
        legend = TOP + 16 + 20 * at
        out.append(f'<line x1="{WIDTH - RIGHT + 16}" x2="{WIDTH - RIGHT + 40}" y1="{legend}" y2="{legend}" stroke="{colour}" stroke-width="{bold}"/>'
                   f'<text x="{WIDTH - RIGHT + 46}" y="{legend + 4}">{escape(name)}</text>')
    return "\n".join([*out, "</svg>", ""])
