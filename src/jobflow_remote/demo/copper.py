"""Equation of state of fcc copper with ASE's effective-medium potential (EMT).

Structure → strained single points, fanned out → a fit → a job that *replaces itself* by finer points around the
minimum that was found, and their fit. Volumes are in Å³ per atom, energies in eV per atom, bulk moduli in GPa, lattice
constants in Å.

The potential is that of K. W. Jacobsen, P. Stoltze, J. K. Nørskov, Surf. Sci. 366, 394 (1996). Measured values:
C. Kittel, Introduction to Solid State Physics, 8th edition (lattice constant at room temperature, chapter 1, table 3;
cohesive energy and bulk modulus, chapter 3, tables 1 and 3).
"""

from __future__ import annotations

from typing import Any

from jobflow import Flow, Response, job

LITERATURE = {"lattice_constant": 3.61, "volume": 3.61**3 / 4, "cohesive_energy": 3.49, "bulk_modulus": 137.0}
"""Measured: Å, Å³ per atom, eV per atom, GPa."""


def _atoms(structure: dict[str, Any], volume: float) -> Any:
    from ase.build import bulk

    return bulk(structure["symbol"], structure["lattice"], a=(4.0 * volume) ** (1 / 3))


@job
def make_structure(symbol: str, lattice_constant: float) -> dict[str, Any]:
    """An fcc crystal; ``lattice_constant`` (Å) is a first guess."""
    return {"symbol": symbol, "lattice": "fcc", "volume": lattice_constant**3 / 4}


@job
def isolated_atom(symbol: str) -> float:
    """Energy (eV) of a single atom."""
    from ase import Atoms
    from ase.calculators.emt import EMT

    return float(Atoms(symbol, calculator=EMT()).get_potential_energy())


@job
def single_point(structure: dict[str, Any], strain: float) -> dict[str, float]:
    """Volume (Å³ per atom) and energy (eV per atom) of the crystal, its volume changed by the factor 1 + strain."""
    from ase.calculators.emt import EMT

    volume = structure["volume"] * (1.0 + strain)
    atoms = _atoms(structure, volume)
    atoms.calc = EMT()
    return {"volume": volume, "energy": float(atoms.get_potential_energy()) / len(atoms)}


@job
def fit(structure: dict[str, Any], points: list[dict[str, float]]) -> dict[str, Any]:
    """Birch-Murnaghan fit (Phys. Rev. 71, 809 (1947)): equilibrium volume, energy and bulk modulus (GPa)."""
    from ase.eos import EquationOfState
    from ase.units import GPa

    volumes, energies = [p["volume"] for p in points], [p["energy"] for p in points]
    v0, e0, b0 = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
    return {
        "structure": {**structure, "volume": float(v0)},
        "volume": float(v0),
        "energy": float(e0),
        "bulk_modulus": float(b0 / GPa),
        "lattice_constant": float((4 * v0) ** (1 / 3)),
        "points": points,
    }


@job
def refine(coarse: dict[str, Any], points: int, width: float) -> Response:
    """Do it again around the minimum that was found: replaces itself by ``points`` jobs within ±width, and a fit."""
    fine = points_and_fit(coarse["structure"], points=points, width=width, name="fine")
    return Response(replace=fine)


def points_and_fit(structure: Any, *, points: int, width: float, name: str) -> Flow:
    """Single points at ``points`` strains of the volume within ±width, and the fit through them."""
    strains = [width * (2 * i / (points - 1) - 1) for i in range(points)]
    singles = [single_point(structure, strain) for strain in strains]
    for single, strain in zip(singles, strains, strict=True):
        single.name = f"{name} {100 * strain:+.1f}%"
    fitted = fit(structure, [single.output for single in singles])
    fitted.name = f"fit {name}"
    return Flow([*singles, fitted], output=fitted.output, name=f"{name} points")


def equation_of_state(points: int = 7) -> Flow:
    """The whole flow; its output is that of the last job."""
    structure = make_structure("Cu", 3.7)
    atom = isolated_atom("Cu")
    coarse = points_and_fit(structure.output, points=points, width=0.12, name="coarse")
    fine = refine(coarse.output, points=5, width=0.03)
    return Flow([structure, atom, coarse, fine], output=fine.output, name="equation of state of Cu")
