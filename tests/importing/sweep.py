"""`python -m tests.importing.sweep [NAME …]`: what becomes of timm's and torchvision's models.

A name is `timm:resnet50` or `torchvision:resnet50`; with none, all of the table.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from torch import nn

from cnndsl.diagnostics import ArchError
from cnndsl.importing import from_torch
from tests.torchvision_cpu import torchvision

import timm  # isort: skip - it imports torchvision, which can be imported only now

TIMM = """
resnet50 resnext50_32x4d seresnet50 ecaresnet50d skresnet50 resnest50d res2net50_26w_4s
resnetv2_50 resnetv2_50x1_bit resnetrs50 wide_resnet50_2 gcresnext50ts densenet121 dla34 dpn68
vgg16_bn inception_v3 inception_v4 inception_resnet_v2 xception41 legacy_xception nasnetalarge
pnasnet5large mobilenetv2_100 mobilenetv3_large_100 mobilenetv4_conv_small efficientnet_b0
tf_efficientnet_b0 tf_efficientnetv2_s mixnet_s mnasnet_100 fbnetc_100 lcnet_050 tinynet_a
ghostnet_100 ghostnetv2_100 hardcorenas_a regnetx_002 regnety_002 regnetz_b16 rexnet_100
hrnet_w18 cspresnet50 cspdarknet53 darknet53 convnext_tiny convnextv2_tiny convmixer_768_32
inception_next_tiny repvgg_a0 repghostnet_100 mobileone_s0 repvit_m1 fasternet_t0 starnet_s1
hgnet_small hgnetv2_b0 ese_vovnet19b_dw selecsls42 tresnet_m dm_nfnet_f0 eca_nfnet_l0
edgenext_xx_small gernet_s rdnet_tiny mambaout_femto poolformer_s12 efficientvit_b0
semnasnet_075 botnet26t_256 mobilevit_s coatnet_nano_rw_224 efficientformer_l1
focalnet_tiny_srf vit_tiny_patch16_224
"""


@dataclass(frozen=True)
class Row:
    """What became of one network: its lines where it was imported, else the reason."""

    name: str
    lines: int
    seconds: float
    said: str

    def __str__(self) -> str:
        lines = str(self.lines) if self.lines else "–"
        return f"{self.name:44}{lines:>6}{self.seconds:8.1f} s  {self.said}"


def names() -> list[str]:
    """All of the table: 75 networks of timm, torchvision's for classes and segmentation."""
    models = torchvision.models
    homes = {name: models.get_model_builder(name).__module__ for name in models.list_models()}
    apart = ("detection", "video", "optical_flow", "quantization")
    plain = [name for name, home in homes.items() if not any(a in home for a in apart)]
    return [*(f"timm:{n}" for n in TIMM.split()), *(f"torchvision:{n}" for n in plain)]


def built(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A network with random weights, and the size of its image."""
    library, _, network = name.partition(":")
    if library == "timm":
        module = timm.create_model(network)
        return module, tuple(module.pretrained_cfg["input_size"])
    models = torchvision.models
    settings: dict[str, object] = {"weights": None}
    if "segmentation" in models.get_model_builder(network).__module__:
        settings["weights_backbone"] = None
    if network in ("googlenet", "inception_v3"):
        settings["init_weights"] = False
    side = 299 if network == "inception_v3" else 224
    return models.get_model(network, **settings), (3, side, side)


def imported(name: str) -> Row:
    """One network.  An answer that is wrong, or none, is raised."""
    module, size = built(name)
    begun = time.perf_counter()
    try:
        found = from_torch(module.eval(), size)
    except ArchError as error:
        said = error.diagnostics[0].message
        return Row(name, 0, time.perf_counter() - begun, said)
    said = found.report.splitlines()[1]
    return Row(name, found.text.count("\n"), time.perf_counter() - begun, said)


def main() -> None:
    """Print the table, a line a network, and how many were imported."""
    rows = []
    for name in sys.argv[1:] or names():
        rows.append(imported(name))
        print(rows[-1], flush=True)
    print(f"{sum(row.lines > 0 for row in rows)} of {len(rows)} imported")


if __name__ == "__main__":
    main()
