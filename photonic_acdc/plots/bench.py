"""The bench, drawn to scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from photonic_acdc.plots.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from photonic_acdc.layout import Layout

_LOOKS = {
    "laser": "#7F7F7F",
    "phase modulator": "#0072B2",
    "amplitude modulator": "#D55E00",
    "lens": "#56B4E9",
    "camera": "#009E73",
}


def layout(plan: Layout) -> Figure:
    """The unfolded bench: both axes to scale, each with its own; distances marked; the device list below.

    Args:
        plan: as ``layout.design`` gives it.
    """
    from matplotlib.patches import Ellipse, Patch, Rectangle

    figure = new_figure(12, 5.6)
    ax, below = figure.subplots(2, 1, height_ratios=(3, 1.15))
    stations = plan.stations
    length, tallest = plan.length * 1e3, max(s.half_aperture for s in stations) * 1e3
    light_z = [s.z * 1e3 for s in stations]
    light = [s.half_width * 1e3 for s in stations]
    ax.fill_between(light_z, light, [-w for w in light], color="#CC3311", alpha=0.18, linewidth=0)
    ax.axhline(0, color="0.6", linewidth=0.6, linestyle="-.")
    for i, station in enumerate(stations):
        z, half = station.z * 1e3, station.half_aperture * 1e3
        colour = _LOOKS[station.kind]
        if station.kind == "lens":
            ax.add_patch(Ellipse((z, 0), length * 0.008, 2 * half, facecolor=colour, edgecolor="0.3", alpha=0.8))
        else:
            width = length * (0.012 if station.kind in ("laser", "camera") else 0.005)
            ax.add_patch(Rectangle((z - width / 2, -half), width, 2 * half, facecolor=colour, edgecolor="none"))
            if station.half_width < half and station.kind.endswith("modulator"):
                zone = station.half_width * 1e3
                ax.add_patch(Rectangle((z - width / 2, -zone), width, 2 * zone, facecolor="white", alpha=0.7))
        level = tallest * (1.12 + 0.2 * (i % 2))
        ax.annotate(station.label, (z, level), ha="center", va="bottom", fontsize="x-small", color="0.15")
        ax.plot([z, z], [half, level], color="0.8", linewidth=0.6, zorder=0)
    for start, end, label in plan.dimensions:
        y = -tallest * 1.2
        ax.annotate(
            "",
            (end * 1e3, y),
            (start * 1e3, y),
            arrowprops={"arrowstyle": "<->", "color": "0.3", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0},
        )
        ax.annotate(label, ((start + end) / 2 * 1e3, y * 1.04), ha="center", va="top", fontsize="x-small")
    ax.set_xlim(-length * 0.02, length * 1.02)
    ax.set_ylim(-tallest * 1.55, tallest * 1.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel("along the axis (mm)")
    ax.set_ylabel("across (mm)")
    kinds = dict.fromkeys(s.kind for s in stations)
    patches = [Patch(color=_LOOKS[kind], label=kind) for kind in kinds]
    patches.append(Patch(color="#CC3311", alpha=0.18, label="light"))
    ax.legend(
        handles=patches,
        ncols=len(patches),
        frameon=False,
        fontsize="x-small",
        loc="lower center",
        bbox_to_anchor=(0.5, -0.3),
    )
    below.axis("off")
    table = below.table(
        [[d.quantity, d.name, d.vendor, d.kind, d.role] for d in plan.devices],
        colLabels=["number", "device", "vendor", "kind", "role"],
        colWidths=[0.06, 0.22, 0.27, 0.15, 0.3],
        loc="center",
        cellLoc="left",
        colLoc="left",
        edges="horizontal",
    )
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    figure.draw_without_rendering()  # settles the layout, so that the two scales can be compared
    box = ax.get_window_extent()
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    stretch = box.height / (high - low) / (box.width / (right - left))
    y, x = plan.bench.modes
    ax.set_title(
        f"{plan.bench.name} bench: {y}×{x} modes, {plan.stages} stages, {length:.0f} mm unfolded; "
        f"both axes to scale, across {stretch:.0f}× larger; white: the zone in use",
        fontsize="medium",
    )
    return figure
