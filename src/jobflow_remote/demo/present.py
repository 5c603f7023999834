"""The results of the example as a table and a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobflow_remote.demo.copper import LITERATURE

Row = tuple[str, str, float, float]
"""Quantity, unit, calculated, measured."""


def result_rows(result: dict[str, Any], atom_energy: float) -> list[Row]:
    """What was calculated beside what was measured."""
    return [
        ("lattice constant", "Å", result["lattice_constant"], LITERATURE["lattice_constant"]),
        ("volume", "Å³/atom", result["volume"], LITERATURE["volume"]),
        ("cohesive energy", "eV/atom", atom_energy - result["energy"], LITERATURE["cohesive_energy"]),
        ("bulk modulus", "GPa", result["bulk_modulus"], LITERATURE["bulk_modulus"]),
    ]


def save_plot(coarse: dict[str, Any], fine: dict[str, Any], path: Path) -> None:
    """Energy against volume: both sets of points, the curve fitted to the fine ones, the minimum."""
    import matplotlib as mpl

    mpl.use("Agg")
    import numpy as np
    from ase.eos import birchmurnaghan
    from ase.units import GPa
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    volumes = [p["volume"] for p in (*coarse["points"], *fine["points"])]
    grid = np.linspace(min(volumes), max(volumes), 200)
    # the derivative of the bulk modulus is not kept: fit it again to the points, as ase.eos does
    from ase.eos import EquationOfState

    equation = EquationOfState(
        [p["volume"] for p in fine["points"]], [p["energy"] for p in fine["points"]], eos="birchmurnaghan"
    )
    equation.fit()
    axes.plot(
        grid,
        birchmurnaghan(grid, *equation.eos_parameters),
        color="#4c72b0",
        lw=1.5,
        label="Birch-Murnaghan fit",
    )
    for name, marker, color, points in (
        ("coarse", "o", "#dd8452", coarse["points"]),
        ("fine, around the minimum", "s", "#55a868", fine["points"]),
    ):
        axes.plot(
            [p["volume"] for p in points],
            [p["energy"] for p in points],
            marker,
            color=color,
            label=name,
            ms=6,
        )
    axes.axvline(fine["volume"], color="0.6", lw=1, ls=":")
    axes.set(xlabel="volume (Å³/atom)", ylabel="energy (eV/atom)", title="fcc copper, EMT potential")
    modulus = equation.B / GPa if hasattr(equation, "B") and equation.B else fine["bulk_modulus"]
    axes.annotate(
        f"$V_0$ = {fine['volume']:.3f} Å³\n$B$ = {modulus:.0f} GPa",
        (0.5, 0.75),
        xycoords="axes fraction",
        ha="center",
    )
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)
