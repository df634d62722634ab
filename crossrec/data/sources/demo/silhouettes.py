"""Silhouettes of the products, worn or at home; each has three variants."""

from __future__ import annotations

from crossrec.data.sources.demo.sketch import Point, Sketch


def dress(s: Sketch, variant: int) -> None:
    """A-line without sleeves, tea dress with sleeves, long dress with straps."""
    hem = (0.24, 0.27, 0.20)[variant]
    bottom = (0.78, 0.80, 0.92)[variant]
    straps = variant == 2
    if straps:
        s.stroke("trim", [(0.41, 0.10), (0.43, 0.24)], 0.018)
        s.stroke("trim", [(0.59, 0.10), (0.57, 0.24)], 0.018)
        top: list[Point] = [(0.0, 0.25), (0.07, 0.21), (0.12, 0.25)]
    else:
        top = [(0.0, 0.19), (0.05, 0.17), (0.075, 0.10), (0.14, 0.115), (0.125, 0.20), (0.13, 0.28)]
    if variant == 1:
        for side in (-1, 1):
            sleeve = [(0.11, 0.115), (0.17, 0.14), (0.25, 0.30), (0.17, 0.34), (0.12, 0.24)]
            s.blob("body", [(0.5 + side * x, y) for x, y in sleeve])
    s.mirrored("body", [*top, (0.095, 0.42), (0.12, 0.50), (hem * 0.8, bottom - 0.14), (hem, bottom)])
    s.ellipse("body", (0.5, bottom), (hem, 0.035))
    s.mirrored("trim", [(0, 0.41), (0.098, 0.405), (0.102, 0.445), (0, 0.45)])
    for x in (-0.11, -0.03, 0.06, 0.13):
        end = (0.5 + x * hem / 0.16, bottom - 0.02)
        s.stroke("line", [(0.5 + x * 0.5, 0.56), end], 0.006, 70)


def t_shirt(s: Sketch, variant: int) -> None:
    """Crew neck, V neck, long sleeves."""
    long = variant == 2
    cuff: list[Point] = [(0.34, 0.74), (0.26, 0.76)] if long else [(0.38, 0.40), (0.29, 0.47)]
    shoulder: list[Point] = [(0.09, 0.15), (0.21, 0.19), (0.27, 0.25)]
    s.mirrored("body", [(0, 0.20), *shoulder, *cuff, (0.20, 0.36), (0.205, 0.60), (0.21, 0.86), (0, 0.865)])
    depth = 0.30 if variant == 1 else 0.225
    s.blob("trim", [(0.40, 0.145), (0.40, 0.145), (0.5, depth), (0.60, 0.145), (0.60, 0.145), (0.5, 0.16)])
    inner = depth - 0.035
    s.blob("line", [(0.425, 0.15), (0.425, 0.15), (0.5, inner), (0.575, 0.15), (0.575, 0.15)], 150)
    for side in (-1, 1):
        s.stroke("line", [(0.5 + side * 0.21, 0.20), (0.5 + side * 0.20, 0.38)], 0.006, 80)
        if long:
            ends: list[Point] = [(0.5 + side * 0.255, 0.735), (0.5 + side * 0.345, 0.715)]
            s.stroke("trim", ends, 0.035)
    s.stroke("line", [(0.29, 0.82), (0.71, 0.82)], 0.005, 80)


def sneaker(s: Sketch, variant: int) -> None:
    """Low, high-top, runner."""
    collar = (0.36, 0.22, 0.38)[variant]
    tongue = (0.33, 0.19, 0.34)[variant]
    shaft: list[Point] = [(0.12, 0.52), (0.13, collar), (0.15, collar), (0.30, collar + 0.05), (0.40, tongue)]
    vamp: list[Point] = [(0.45, tongue), (0.52, 0.46), (0.68, 0.55), (0.84, 0.60), (0.90, 0.70), (0.88, 0.72)]
    s.blob("body", [(0.13, 0.70), *shaft, *vamp, (0.13, 0.72)])
    s.blob("trim", [(0.72, 0.565), (0.84, 0.60), (0.905, 0.70), (0.88, 0.725), (0.68, 0.725), (0.68, 0.64)])
    heel = 0.03 if variant == 2 else 0.0
    sole = [(0.10, 0.70), (0.10, 0.70), (0.50, 0.71), (0.90, 0.70), (0.93, 0.73), (0.90, 0.79), (0.50, 0.79)]
    s.blob("trim", [*sole, (0.12 - heel, 0.79 + heel), (0.09 - heel, 0.75)])
    s.stroke("line", [(0.11, 0.705), (0.5, 0.715), (0.91, 0.705)], 0.010, 150)
    s.stroke("line", [(0.12, 0.765), (0.9, 0.765)], 0.006, 60)
    for i in range(4):
        x, y = 0.45 + 0.062 * i, tongue + 0.10 + (0.565 - tongue - 0.10) * i / 4
        s.stroke("trim", [(x - 0.045, y + 0.035), (x + 0.035, y - 0.01)], 0.020)
    s.stroke("line", [(0.16, collar + 0.01), (0.29, collar + 0.06), (0.40, tongue + 0.02)], 0.016, 170)
    s.stroke("line", [(0.26, 0.70), (0.32, 0.55), (0.44, 0.50)], 0.007, 110)


def sock(s: Sketch, variant: int) -> None:
    """Crew, knee-high, ankle; always a pair, one behind the other."""
    top = (0.20, 0.10, 0.38)[variant]
    for dx, dy in ((0.16, -0.05), (0.0, 0.04)):
        leg: list[Point] = [(0.26, top), (0.26, top), (0.44, top), (0.44, top), (0.43, 0.52), (0.47, 0.62)]
        foot: list[Point] = [
            (0.62, 0.68),
            (0.68, 0.76),
            (0.62, 0.83),
            (0.42, 0.81),
            (0.28, 0.74),
            (0.25, 0.60),
        ]
        if dx == 0.0:
            s.blob("line", [(x + dx + 0.014, y + dy - 0.004) for x, y in [*leg, *foot]], 105)
            s.erase("line", [(x + dx, y + dy) for x, y in [*leg, *foot]])
            s.erase("trim", [(x + dx, y + dy) for x, y in [*leg, *foot]])
        s.blob("body", [(x + dx, y + dy) for x, y in [*leg, *foot]])
        s.box("trim", ((0.25 + dx, top + dy - 0.02), (0.45 + dx, top + dy + 0.055)), 0.015)
        toe: list[Point] = [
            (0.575, 0.665),
            (0.66, 0.70),
            (0.682, 0.76),
            (0.62, 0.832),
            (0.55, 0.826),
            (0.56, 0.74),
        ]
        s.blob("trim", [(x + dx, y + dy) for x, y in toe])
        heel: list[Point] = [(0.25, 0.60), (0.31, 0.64), (0.34, 0.70), (0.32, 0.765), (0.27, 0.72)]
        s.blob("trim", [(x + dx, y + dy) for x, y in heel])


def handbag(s: Sketch, variant: int) -> None:
    """Tote, satchel with a flap, round bag."""
    if variant == 0:
        for x in (0.0, 0.06):
            s.stroke("trim", [(0.34 + x, 0.40), (0.36 + x, 0.16), (0.58 + x, 0.16), (0.60 + x, 0.40)], 0.026)
        s.mirrored("body", [(0, 0.37), (0.27, 0.37), (0.33, 0.84), (0.31, 0.87), (0, 0.87)])
        s.stroke("line", [(0.24, 0.42), (0.76, 0.42)], 0.008, 110)
        s.box("trim", ((0.45, 0.42), (0.55, 0.52)), 0.02)
    elif variant == 1:
        s.stroke("trim", [(0.24, 0.45), (0.33, 0.15), (0.67, 0.15), (0.76, 0.45)], 0.028)
        s.box("body", ((0.16, 0.38), (0.84, 0.84)), 0.07)
        s.stroke("line", [(0.17, 0.45), (0.24, 0.63), (0.5, 0.67), (0.76, 0.63), (0.83, 0.45)], 0.014, 130)
        s.box("trim", ((0.455, 0.60), (0.545, 0.72)), 0.02)
        s.ellipse("line", (0.5, 0.68), (0.014, 0.014), 190)
    else:
        s.stroke("trim", [(0.27, 0.50), (0.32, 0.15), (0.68, 0.15), (0.73, 0.50)], 0.026)
        s.ellipse("body", (0.5, 0.60), (0.32, 0.28))
        s.stroke("line", [(0.19, 0.55), (0.5, 0.47), (0.81, 0.55)], 0.012, 140)
        s.stroke("trim", [(0.46, 0.475), (0.54, 0.475)], 0.035)
        s.ellipse("trim", (0.5, 0.52), (0.022, 0.030))


def backpack(s: Sketch, variant: int) -> None:
    """Round day pack, roll-top, school bag with two pockets."""
    s.stroke("trim", [(0.43, 0.17), (0.44, 0.08), (0.56, 0.08), (0.57, 0.17)], 0.028)
    for side in (-1, 1):
        path: list[Point] = [(0.5 + side * 0.24, 0.32), (0.5 + side * 0.34, 0.52), (0.5 + side * 0.27, 0.80)]
        s.stroke("trim", path, 0.045)
    if variant == 1:
        s.box("body", ((0.25, 0.24), (0.75, 0.90)), 0.07)
        s.box("body", ((0.27, 0.14), (0.73, 0.27)), 0.04)
        s.stroke("line", [(0.26, 0.275), (0.74, 0.275)], 0.014, 150)
        s.stroke("trim", [(0.5, 0.16), (0.5, 0.48)], 0.034)
        s.box("line", ((0.47, 0.40), (0.53, 0.45)), 0.01, 130)
    else:
        half: list[Point] = [(0, 0.14), (0.17, 0.18), (0.26, 0.40), (0.26, 0.84), (0.24, 0.88), (0, 0.905)]
        s.mirrored("body", half, smooth=True)
        s.stroke("line", [(0.27, 0.46), (0.36, 0.27), (0.64, 0.27), (0.73, 0.46)], 0.010, 140)
    pockets = [(0.31, 0.69)] if variant != 2 else [(0.29, 0.48), (0.52, 0.71)]
    for left, right in pockets:
        s.box("line", ((left, 0.56), (right, 0.85)), 0.05, 150)
        s.box("line", ((left + 0.012, 0.572), (right - 0.012, 0.838)), 0.04, 0)
        s.stroke("trim", [(left + 0.04, 0.63), (right - 0.04, 0.63)], 0.014)


def bottle(s: Sketch, variant: int) -> None:
    """Slim, wide with a loop, waisted."""
    if variant == 0:
        s.mirrored(
            "body",
            [(0, 0.20), (0.07, 0.20), (0.08, 0.27), (0.15, 0.36), (0.15, 0.90), (0.13, 0.92), (0, 0.92)],
        )
        s.box("trim", ((0.42, 0.08), (0.58, 0.23)), 0.02)
    elif variant == 1:
        s.stroke("trim", [(0.44, 0.14), (0.45, 0.05), (0.55, 0.05), (0.56, 0.14)], 0.026)
        s.box("body", ((0.31, 0.20), (0.69, 0.92)), 0.07)
        s.box("trim", ((0.36, 0.11), (0.64, 0.225)), 0.02)
    else:
        half: list[Point] = [
            (0.08, 0.18),
            (0.17, 0.28),
            (0.17, 0.40),
            (0.12, 0.54),
            (0.165, 0.68),
            (0.17, 0.88),
        ]
        s.mirrored("body", [*half, (0.14, 0.92)], smooth=True)
        s.box("trim", ((0.40, 0.07), (0.60, 0.21)), 0.03)
    s.stroke("line", [(0.43, 0.18), (0.57, 0.18)], 0.007, 110)
    if variant < 2:
        s.stroke("line", [(0.37, 0.86), (0.63, 0.86)], 0.006, 70)


def coffee_maker(s: Sketch, variant: int) -> None:
    """Stove-top pot, drip machine, press."""
    if variant == 0:
        s.stroke("trim", [(0.66, 0.27), (0.84, 0.27), (0.84, 0.55)], 0.045)
        s.shape("body", [(0.33, 0.20), (0.67, 0.20), (0.62, 0.53), (0.38, 0.53)])
        s.shape("body", [(0.33, 0.20), (0.24, 0.24), (0.35, 0.33)])
        s.shape("body", [(0.38, 0.56), (0.62, 0.56), (0.71, 0.90), (0.29, 0.90)])
        s.box("trim", ((0.36, 0.52), (0.64, 0.575)), 0.01)
        s.shape("trim", [(0.35, 0.20), (0.65, 0.20), (0.55, 0.13), (0.45, 0.13)])
        s.ellipse("trim", (0.5, 0.11), (0.03, 0.035))
        for x in (0.44, 0.56):
            s.stroke("line", [(x, 0.22), (x * 0.7 + 0.15, 0.51)], 0.006, 70)
            s.stroke("line", [(x, 0.58), (x * 1.3 - 0.15, 0.89)], 0.006, 70)
    elif variant == 1:
        s.box("body", ((0.24, 0.10), (0.76, 0.32)), 0.04)
        s.box("body", ((0.24, 0.10), (0.42, 0.90)), 0.04)
        s.box("body", ((0.24, 0.80), (0.78, 0.91)), 0.03)
        s.blob("trim", [(0.50, 0.42), (0.70, 0.42), (0.74, 0.60), (0.71, 0.78), (0.49, 0.78), (0.46, 0.60)])
        s.blob("line", [(0.475, 0.58), (0.725, 0.58), (0.70, 0.76), (0.50, 0.76)], 190)
        s.stroke("trim", [(0.73, 0.48), (0.84, 0.52), (0.76, 0.70)], 0.028)
        s.box("line", ((0.54, 0.32), (0.66, 0.37)), 0.01, 170)
        s.ellipse("trim", (0.33, 0.21), (0.03, 0.03))
    else:
        s.stroke("trim", [(0.66, 0.34), (0.84, 0.40), (0.83, 0.64), (0.66, 0.74)], 0.045)
        s.box("body", ((0.32, 0.26), (0.68, 0.88)), 0.03)
        s.box("trim", ((0.30, 0.22), (0.70, 0.285)), 0.02)
        s.box("trim", ((0.29, 0.855), (0.71, 0.905)), 0.02)
        s.stroke("trim", [(0.5, 0.10), (0.5, 0.23)], 0.020)
        s.ellipse("trim", (0.5, 0.10), (0.038, 0.038))
        s.shape("body", [(0.32, 0.29), (0.25, 0.27), (0.32, 0.36)])


def mug(s: Sketch, variant: int) -> None:
    """Straight, tapered, wide cup."""
    top, bottom, height = ((0.23, 0.22, 0.80), (0.25, 0.17, 0.80), (0.29, 0.15, 0.72))[variant]
    left, rim = 0.46, 0.28
    right = left + (top + bottom) / 2
    s.stroke(
        "body", [(right - 0.03, 0.40), (right + 0.15, 0.38), (right + 0.15, 0.60), (right - 0.05, 0.66)], 0.05
    )
    s.shape("body", [(left - top, rim), (left + top, rim), (left + bottom, height), (left - bottom, height)])
    s.ellipse("body", (left, height), (bottom, 0.055))
    s.ellipse("trim", (left, rim), (top, 0.065))
    s.ellipse("line", (left, rim + 0.006), (top - 0.022, 0.050), 200)
    s.ellipse("line", (left, rim + 0.022), (top - 0.05, 0.034), 235)


def chair(s: Sketch, variant: int) -> None:
    """Dining chair, armchair, shell on splayed legs."""
    if variant == 1:
        for x in (0.24, 0.76):
            s.stroke("trim", [(x, 0.80), (x + (x - 0.5) * 0.1, 0.93)], 0.040)
        s.blob("body", [(0.27, 0.62), (0.26, 0.22), (0.38, 0.13), (0.62, 0.13), (0.74, 0.22), (0.73, 0.62)])
        s.box("body", ((0.13, 0.42), (0.30, 0.84)), 0.07)
        s.box("body", ((0.70, 0.42), (0.87, 0.84)), 0.07)
        s.box("body", ((0.25, 0.58), (0.75, 0.84)), 0.03)
        s.stroke("line", [(0.30, 0.46), (0.30, 0.82)], 0.010, 140)
        s.stroke("line", [(0.70, 0.46), (0.70, 0.82)], 0.010, 140)
        s.stroke("line", [(0.305, 0.585), (0.695, 0.585)], 0.012, 150)
        s.stroke("line", [(0.305, 0.72), (0.695, 0.72)], 0.008, 100)
        return
    splay = 0.03 if variant == 0 else 0.10
    for x in (0.30, 0.70):
        side = 1 if x > 0.5 else -1
        s.stroke("trim", [(x, 0.60), (x + side * splay, 0.93)], 0.032)
        s.stroke("trim", [(x - side * 0.09, 0.60), (x - side * 0.09 + side * splay * 0.5, 0.86)], 0.026, 200)
    if variant == 0:
        for x in (0.31, 0.69):
            s.stroke("trim", [(x, 0.10), (x, 0.60)], 0.032)
        s.box("body", ((0.31, 0.12), (0.69, 0.36)), 0.05)
        s.blob("body", [(0.25, 0.64), (0.29, 0.54), (0.71, 0.54), (0.75, 0.64), (0.70, 0.67), (0.30, 0.67)])
        s.stroke("line", [(0.26, 0.64), (0.74, 0.64)], 0.008, 110)
    else:
        s.mirrored("body", [(0.12, 0.12), (0.23, 0.22), (0.26, 0.60), (0.16, 0.69)], smooth=True)
        s.stroke("line", [(0.27, 0.56), (0.38, 0.50), (0.62, 0.50), (0.73, 0.56)], 0.010, 140)


def cushion(s: Sketch, variant: int) -> None:
    """Square, round with a button, long."""
    if variant == 1:
        s.ellipse("trim", (0.5, 0.53), (0.375, 0.335))
        s.ellipse("trim", (0.5, 0.53), (0.355, 0.315), 0)
        s.ellipse("body", (0.5, 0.53), (0.36, 0.32))
        for x, y in ((0.3, 0.36), (0.7, 0.36), (0.28, 0.68), (0.72, 0.68), (0.5, 0.28), (0.5, 0.78)):
            s.stroke("line", [(0.5, 0.53), (x, y)], 0.006, 80)
        s.ellipse("trim", (0.5, 0.53), (0.03, 0.03))
        return
    x, y = (0.36, 0.33) if variant == 0 else (0.41, 0.24)
    s.blob("trim", _pillow(x + 0.016, y + 0.016))
    s.erase("trim", _pillow(x - 0.004, y - 0.004))
    s.blob("body", _pillow(x, y))
    for dx in (-1, 1):
        s.stroke(
            "line", [(0.5 + dx * x * 0.92, 0.53 + y * 0.85), (0.5 + dx * x * 0.74, 0.53 + y * 0.6)], 0.007, 90
        )
        s.stroke(
            "line", [(0.5 + dx * x * 0.92, 0.53 - y * 0.85), (0.5 + dx * x * 0.78, 0.53 - y * 0.6)], 0.007, 70
        )


def _pillow(x: float, y: float) -> list[Point]:
    """Return a rectangle of half-widths x and y whose edges bend inwards."""
    bend = 0.92
    points: list[Point] = []
    for dx, dy in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        along: Point = (0, dy * y * bend) if dx == dy else (dx * x * bend, 0)
        points += [(0.5 + dx * x, 0.53 + dy * y), (0.5 + along[0], 0.53 + along[1])]
    return points


def lamp(s: Sketch, variant: int) -> None:
    """Cone shade on a stem, drum shade on a round foot, dome."""
    if variant == 0:
        s.stroke("trim", [(0.5, 0.42), (0.5, 0.88)], 0.030)
        s.ellipse("trim", (0.5, 0.89), (0.17, 0.035))
        s.shape("body", [(0.40, 0.10), (0.60, 0.10), (0.78, 0.47), (0.22, 0.47)])
        s.ellipse("body", (0.5, 0.47), (0.28, 0.03))
    elif variant == 1:
        s.blob(
            "trim",
            [
                (0.48, 0.50),
                (0.52, 0.50),
                (0.55, 0.58),
                (0.66, 0.70),
                (0.60, 0.88),
                (0.40, 0.88),
                (0.34, 0.70),
                (0.45, 0.58),
            ],
        )
        s.box("body", ((0.24, 0.11), (0.76, 0.49)), 0.02)
    else:
        s.stroke("trim", [(0.5, 0.40), (0.5, 0.88)], 0.040)
        s.box("trim", ((0.34, 0.86), (0.66, 0.915)), 0.02)
        s.blob(
            "body",
            [
                (0.17, 0.47),
                (0.17, 0.47),
                (0.24, 0.25),
                (0.5, 0.12),
                (0.76, 0.25),
                (0.83, 0.47),
                (0.83, 0.47),
                (0.5, 0.50),
            ],
        )
        s.ellipse("trim", (0.5, 0.115), (0.028, 0.028))
    s.stroke("line", [(0.26, 0.455), (0.74, 0.455)], 0.006, 60)
