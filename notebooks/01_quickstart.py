# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Quickstart: a classifier through a simulated optical bench
#
# An **AFDF layer** is a cascade of diagonals and Fourier transforms. On an optical bench the diagonals are masks on a
# spatial light modulator and the transforms are lenses. This tour trains a digit classifier whose first layer is such
# a cascade, puts it on a bench of real devices, finds it wanting, trains it *through* the devices, and judges it over
# many virtual benches. It is the run of `photonic-acdc demo`, with fewer epochs and benches: a minute or two.

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

import xarray as xr

import photonic_acdc as pa
import simulators as sim
from photonic_acdc.config import RunConfig

# %% [markdown]
# ## The bench
#
# A HeNe laser behind a filter, an LCoS panel in 8×8 macro-pixels, f = 100 mm achromats, a CMOS camera. Every figure
# comes from the catalogue and knows its source. A pixel of the input plane spreads over M = λf/(p₁p₂) pixels of the
# Fourier plane, so the Fourier mask has 16×16 pixels for 8×8 modes.

# %%
bench = sim.reference_bench(modes=(8, 8))
panel = bench.stage[0].device
print(f"M = {bench.scales[0]:.2f}, Fourier mask of {bench.fourier_pixels} pixels")
origin = panel.source_of("phase_error")
print(f"phase error: {panel.phase_error} rad ({origin.confidence}: {origin.source})")

# %%
pa.plots.layout(pa.layout.design(bench, stages=2))

# %% [markdown]
# What can go wrong, and how each error is drawn: never (deterministic), once a bench (mismatch), or anew each exposure.

# %%
for effect in bench.effects(stages=1):
    print(f"{effect!s:40} {effect.kind}")

# %% [markdown]
# ## The run
#
# One call trains four things: the ideal layer; physical masks on ideal devices; the same masks put on real devices as
# they are; and masks trained through the devices, where every step sees a bench that was never built before.

# %%
config = RunConfig.from_dict(
    {
        "name": "quickstart",
        "data": {"source": "digits"},
        "training": {"epochs": 20},
        "evaluation": {
            "realisations": 20,
            "budget_realisations": 2,
            "photon_realisations": 3,
            "front_weights": [0.0, 0.1],
            "front_epochs": 3,
            "front_realisations": 5,
        },
    }
)
directory = tempfile.TemporaryDirectory()
card = pa.run(config, directory.name)
folder = Path(directory.name) / "quickstart"
results = card["results"]
for stage, figures in results["accuracy"].items():
    print(f"{stage:16} mean {figures['mean']:.1%}   5th percentile {figures['p05']:.1%}   n = {figures['n']}")
print(f"light at the detector's modes: {results['efficiency']:.1%} of what the devices pass")


# %%
def part(name):
    """One of the run's datasets."""
    with xr.open_dataset(folder / name, engine="h5netcdf") as dataset:
        return dataset.load()


pa.plots.training_curves(part("training.nc"))

# %% [markdown]
# ## Before and after, over virtual benches
#
# Each dot is a bench with static errors of its own, and fresh shots for every sample. Put on real devices untouched,
# the masks lose about five points; masks trained through the devices win much of that back (more than half with the
# sixty epochs of the demo) and vary less from bench to bench. Mapping the ideal layer's own masks is exact for one
# stage only, and dim: at two stages a millionth of the light arrives, and the camera's noise is all that is left. That
# is why physical masks are trained.

# %%
pa.plots.accuracy_over_realisations(part("errors.nc"), summaries=results["accuracy"]).figure

# %% [markdown]
# ## Which device is to blame?
#
# Leave one effect out at a time, and let one act alone, always on the same benches and the same shots.

# %%
pa.plots.error_budget(part("parts/budget-seed0.nc"))

# %% [markdown]
# ## Light
#
# Accuracy against the photons that enter the bench: the camera and the shot noise set the floor.

# %%
pa.plots.accuracy_against_photons(part("parts/photons-seed0.nc")).figure

# %% [markdown]
# ## Masks and field
#
# What a laboratory would load onto its panel, and one digit on its way through: colour is phase, brightness amplitude.
# Between stages the field has structure inside the pixels, which is why one sample a pixel is not enough.

# %%
tensors, about = pa.load_tensors(folder / "model.safetensors")
model = pa.layers.AFDF(64, 2, shape=(8, 8))
optic = pa.to_optical(model, bench, readout="intensity", order=3)
optic.load_state_dict({name.removeprefix("0."): t for name, t in tensors.items() if name.startswith("0.")})
masks = {f"mask {'AD'[j % 2]}{j // 2 + 1}": c.field().detach().numpy() for j, c in enumerate(optic.commands())}
pa.plots.masks(masks)

# %%
digits = pa.data.load_data("digits")
with pa.noise(optic, "mean"):
    planes = pa.analysis.field_planes(optic, digits.x[0] / digits.x.max())
pa.plots.field_planes(planes)

# %%
directory.cleanup()
