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
# # Synthesis: a trained dense layer becomes masks
#
# Any matrix is a cascade of masks and lenses. This tour trains a small dense network on digits, turns its 64×64 layer
# into masks that perform it exactly, finds out what is left of that on a bench of real devices, and refines the masks
# through the bench. About a minute.

# %%
# %matplotlib inline
import torch
from torch import nn

import photonic_acdc as pa
import simulators as sim

torch.manual_seed(0)
torch.set_num_threads(1)  # small operations: more threads only wait for each other
train, test = pa.data.split(pa.data.load_data("digits"), test_fraction=0.2)
dense = nn.Sequential(nn.Linear(64, 64, bias=False), nn.ReLU(), nn.Linear(64, 10))
dense = pa.train(dense, train, epochs=40, learning_rate=0.005).model


@torch.no_grad()
def accuracy(model):
    return (model.eval()(test.x).argmax(-1) == test.y).double().mean().item()


before = accuracy(dense)
print(f"dense network: {before:.2%}")

# %% [markdown]
# ## Exact masks
#
# The layer is not unitary. By its singular values it is two unitary matrices with one mask between them that dims, and
# each unitary matrix of N modes (N even) takes 2N + 5 phase masks. A spherical lens makes the transform of 66 features
# if they lie on a grid whose sides have no common divisor, 6×11. The gain is what any passive machine is bound by,
# 1/σ_max.

# %%
plan = pa.synthesise(dense[0], shape=(6, 11))
print(plan)
print(plan.reason)

# %%
pa.plots.synthesis(plan)

# %% [markdown]
# As a layer, and on a bench of ideal devices, the network is what it was.

# %%
real = pa.layers.Real()
layer = nn.Sequential(plan.to_layer().float(), real, *dense[1:])
ideal_bench = sim.reference_bench(modes=(6, 11))
on_paper = nn.Sequential(plan.to_bench(ideal_bench, sim.Ideal, x_max=16.0).float(), real, *dense[1:])
with pa.noise(on_paper, "off"):
    exact = accuracy(on_paper)
print(f"as a layer {accuracy(layer):.2%}, through ideal lenses {exact:.2%}")

# %% [markdown]
# ## On real lenses
#
# A lens is no N-point transform: the Fourier plane has pixels of its own, and behind every second lens light falls
# beside the next mask. A small matrix, in the 15 stages of its exact masks, is left in the dark, without any loss of
# the devices:

# %%
small = pa.synthesise(nn.init.orthogonal_(torch.empty(12, 12, dtype=torch.float64)), shape=(3, 4))
lenses = sim.reference_bench(modes=(3, 4), complex_masks=True)
cascade = small.to_bench(lenses)
with torch.no_grad(), pa.noise(cascade, "off"):
    planes = cascade.fields(torch.ones(1, 12, dtype=torch.float64))
share = planes["detector"].abs().square().sum() / planes["input"].abs().square().sum()
print(f"{small.stages} stages: {10 * share.log10():.0f} dB of the light")

# %% [markdown]
# What the matrix takes on a bench is fewer stages of finer masks, fitted through the devices: levels, ripple, losses,
# the pixels themselves. Errors are to count where the data are, so the digits go in too.

# %%
bench = sim.reference_bench(modes=(8, 8))
refined = pa.refine(plan, bench, stages=4, inputs=train.x, light_weight=0.01, iterations=150)
print(refined)

# %%
pa.plots.masks(
    {f"stage[{j // 2}].mask[{j % 2}]": c.field().detach().numpy() for j, c in enumerate(refined.optic.masks.commands())}
)

# %%
optic = refined.optic.float()
optic.x_max.fill_(16.0)  # pixels of a digit go up to 16
on_bench = nn.Sequential(optic, real, *dense[1:])
with pa.noise(on_bench, "mean"):
    nominal = accuracy(on_bench)


def over_benches(model):
    return float(pa.analysis.monte_carlo(model, test, realisations=20, seed=0).accuracy.mean())


untouched = over_benches(on_bench)
print(f"nominal bench {nominal:.2%}, 20 benches as built {untouched:.2%}")

# %% [markdown]
# ## Training takes it from there
#
# The refined layer is a module like any other. First the electronics behind it learn what the optics do, then the masks
# learn too, on virtual benches that never come back.

# %%
optic.masks.requires_grad_(False)
electronics = pa.train(on_bench, train, epochs=10, learning_rate=0.01, noise_mode="sample").model
tuned = over_benches(electronics)
optic.masks.requires_grad_(True)
masks = pa.train(on_bench, train, epochs=10, learning_rate=0.01, noise_mode="sample").model
trained = over_benches(masks)

# %%
for name, value in {
    "dense network": before,
    "exact masks, ideal lenses": exact,
    "refined masks, nominal bench": nominal,
    "… 20 benches as built": untouched,
    "… electronics trained through benches": tuned,
    "… masks trained as well": trained,
}.items():
    print(f"{name:40} {value:7.2%}")
