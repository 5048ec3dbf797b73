"""The networks that torchvision and timm have too, and how they are compared.

A foreign network is built without its initial values, which `filled` would overwrite: at its
own, ConvNeXt's blocks count for a millionth, and a wrong one would pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tests.references import REFERENCES
from tests.torchvision_cpu import torchvision

# timm imports torchvision, which can be imported only now.
import timm  # isort: skip
from timm.layers.non_local_attn import NonLocalAttn  # isort: skip

__all__ = ["NEITHER", "NETWORKS", "TIMM", "TORCHVISION", "NonLocalAttn", "filled", "of_timm"]

models = torchvision.models


@dataclass(frozen=True)
class Foreign:
    """A builder, the smallest image that it takes, and what is set on our side.

    `names` is the map for what no evidence settles; `ordered` says that the layers are told
    apart only in the order of definition, which a sorted file has lost. `gain` multiplies the
    random weights: at 1 EfficientNetV2's gates make of float32's rounding 38 % in 40 blocks.
    """

    build: Callable[[], nn.Module]
    size: int = 32
    settings: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    ordered: bool = False
    gain: float = 1.0

    def filled(self) -> nn.Module:
        """With random weights and statistics."""
        return filled(self.build(), self.gain)


def bare(builder: Callable[..., nn.Module], **settings: Any) -> Callable[[], nn.Module]:
    """A builder for a network without weights."""

    def build() -> nn.Module:
        with torch.device("meta"):
            model = builder(**settings)
        return model.to_empty(device="cpu")

    return build


def of_timm(name: str, **settings: Any) -> Callable[[], nn.Module]:
    return bare(timm.create_model, model_name=name, pretrained=False, **settings)


def filled(model: nn.Module, gain: float = 1.0) -> nn.Module:
    """Random weights and random statistics, such that values keep their size."""
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if value.dim() > 1:
            value.normal_(0, gain * (2 / value[0].numel()) ** 0.5, generator=generator)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.is_floating_point():
            mean = 1.0 if name.endswith("weight") else 0.0
            value.normal_(mean, 0.2, generator=generator)
        else:
            value.zero_()
    return model.eval()


def _pyramid(norm: Callable[..., nn.Module] = nn.BatchNorm2d) -> nn.Module:
    return models.detection.backbone_utils.resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=norm
    )


def _frozen(channels: int) -> nn.Module:
    """As in torchvision's detectors that were trained on COCO."""
    return torchvision.ops.misc.FrozenBatchNorm2d(channels, eps=0.0)


def _v1(**settings: Any) -> nn.Module:
    """ResNet-50 with its strides moved from the 3x3 to the 1x1 before it, as the paper's."""
    model = models.resnet50(**settings)
    for block in (model.layer2[0], model.layer3[0], model.layer4[0]):
        block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    return model


class WithAux(nn.Module):
    """Inception v3 whose auxiliary head speaks in evaluation too."""

    def __init__(self) -> None:
        super().__init__()
        self.net = models.inception_v3(weights=None, init_weights=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        seen: list[Tensor] = []
        hook = self.net.Mixed_6e.register_forward_hook(lambda *call: seen.append(call[2]))
        logits = self.net(x)
        hook.remove()
        return logits, self.net.AuxLogits(seen[0])


def _five(**settings: Any) -> nn.Module:
    """GoogLeNet with the paper's 5x5, which torchvision's has not."""
    model = models.googlenet(**settings)
    for module in model.modules():
        if hasattr(module, "branch3"):
            conv = module.branch3[1].conv
            module.branch3[1].conv = nn.Conv2d(
                conv.in_channels, conv.out_channels, 5, padding=2, bias=False
            )
    return model


PLAIN = {
    "resnet18": models.resnet18,
    "resnet34": models.resnet34,
    "resnet50": models.resnet50,
    "resnet101": models.resnet101,
    "resnet152": models.resnet152,
    "resnext50_32x4d": models.resnext50_32x4d,
    "wide_resnet50_2": models.wide_resnet50_2,
    "densenet121": models.densenet121,
    "squeezenet1_0": models.squeezenet1_0,
    "squeezenet1_1": models.squeezenet1_1,
    "mobilenetv2": models.mobilenet_v2,
    "mobilenetv3_small": models.mobilenet_v3_small,
    "mobilenetv3_large": models.mobilenet_v3_large,
    "shufflenetv2": models.shufflenet_v2_x1_0,
    "efficientnet_b0": models.efficientnet_b0,
    "mnasnet": models.mnasnet1_0,
    "convnext_tiny": models.convnext_tiny,
}
BUILDERS: dict[str, Callable[..., nn.Module]] = {
    **PLAIN,
    "alexnet": models.alexnet,
    "efficientnetv2_s": models.efficientnet_v2_s,
    "vgg16": models.vgg16,
    "googlenet_bn": models.googlenet,
    "inception_v3": models.inception_v3,
    "regnetx_400mf": models.regnet_x_400mf,
    "regnety_400mf": models.regnet_y_400mf,
    "fpn_resnet50": models.detection.backbone_utils.resnet_fpn_backbone,
    "fcn_resnet50": models.segmentation.fcn_resnet50,
    "deeplabv3_resnet50": models.segmentation.deeplabv3_resnet50,
    "lraspp_mobilenetv3": models.segmentation.lraspp_mobilenet_v3_large,
}
"""torchvision's own functions."""

NO_AUX = {"weights": None, "aux_logits": False, "init_weights": False}
SEGMENTATION = {"weights": None, "weights_backbone": None, "num_classes": 21}
# The rates 12, 24 and 36 are in no weight, so that nothing can tell these branches apart; with
# them, the others are told by where they stand.
RATES = {f"classifier.0.convs.{n + 1}": f"aspp.atrous.{n}" for n in (0, 1)}

TORCHVISION = {name: Foreign(bare(builder)) for name, builder in PLAIN.items()} | {
    # The linear layers take 6x6 and 7x7 cells: torchvision pools a smaller image to them.
    "alexnet": Foreign(bare(models.alexnet), 224),
    "vgg16": Foreign(bare(models.vgg16), 224),
    "googlenet_bn": Foreign(bare(models.googlenet, **NO_AUX)),
    "inception_v3": Foreign(bare(models.inception_v3, **NO_AUX), 75, ordered=True),
    # Their widths are worked out with tensors, which must have values.
    "regnetx_400mf": Foreign(models.regnet_x_400mf, ordered=True),
    "regnety_400mf": Foreign(models.regnet_y_400mf, ordered=True),
    "fpn_resnet50": Foreign(bare(_pyramid)),
    "fcn_resnet50": Foreign(
        bare(models.segmentation.fcn_resnet50, **SEGMENTATION, aux_loss=True),
        settings={"aux": True},
    ),
    "deeplabv3_resnet50": Foreign(
        bare(models.segmentation.deeplabv3_resnet50, **SEGMENTATION, aux_loss=True),
        settings={"aux": True},
        names=RATES,
        ordered=True,
    ),
    "efficientnetv2_s": Foreign(bare(models.efficientnet_v2_s), gain=0.7),
    "lraspp_mobilenetv3": Foreign(
        bare(models.segmentation.lraspp_mobilenet_v3_large, **SEGMENTATION)
    ),
}

# timm keeps Res2Net's convolutions and norms apart, and each kind is of one shape.
PARTS = {
    f"layer{n}.{unit}.{theirs}.{part}": f"c{n + 1}.{unit}.y.{part}.{ours}"
    for n, units in enumerate((3, 4, 6, 3), 1)
    for unit in range(units)
    for part in range(3)
    for ours, theirs in enumerate(("convs", "bns"))
}

# What torchvision has not, and what timm wrote anew.
TIMM = {
    "mobilenetv1": Foreign(of_timm("mobilenetv1_100")),
    "mobilenetv2": Foreign(of_timm("mobilenetv2_100")),
    # timm's own eps is 1e-5; 1e-3, the authors', is that of its `tf_` variants.
    "mobilenetv3_small": Foreign(of_timm("mobilenetv3_small_100", bn_eps=1e-3), ordered=True),
    "mobilenetv3_large": Foreign(of_timm("mobilenetv3_large_100", bn_eps=1e-3), ordered=True),
    "efficientnet_b0": Foreign(of_timm("efficientnet_b0")),
    "mnasnet": Foreign(of_timm("mnasnet_100")),
    "xception": Foreign(of_timm("legacy_xception"), 75),
    "inception_v3": Foreign(of_timm("inception_v3"), 75, ordered=True),
    "densenet121": Foreign(of_timm("densenet121")),
    "resnet50": Foreign(of_timm("resnet50")),
    "regnetx_400mf": Foreign(of_timm("regnetx_004"), settings={"last": 384}, ordered=True),
    "regnety_400mf": Foreign(of_timm("regnety_004"), ordered=True),
    "convnext_tiny": Foreign(of_timm("convnext_tiny")),
    "convnextv2_tiny": Foreign(of_timm("convnextv2_tiny")),
    "vit_tiny": Foreign(of_timm("vit_tiny_patch16_224"), 224, ordered=True),
    "hrnet_w18": Foreign(of_timm("hrnet_w18"), ordered=True),
    "se_resnet50": Foreign(of_timm("seresnet50")),
    "res2net50": Foreign(of_timm("res2net50_26w_4s"), names=PARTS),
    "dpn68": Foreign(of_timm("dpn68")),
    "vovnet39": Foreign(of_timm("ese_vovnet39b")),
    "mobilenetv4_conv_small": Foreign(of_timm("mobilenetv4_conv_small")),
}

NETWORKS = {f"{name}-torchvision": foreign for name, foreign in TORCHVISION.items()}
NETWORKS |= {f"{name}-timm": foreign for name, foreign in TIMM.items()}
# The settings of a file where torchvision has them too, or only the paper.
NETWORKS |= {
    "resnet50-v1": Foreign(bare(_v1), settings={"stride_on": "v1"}),
    "fpn_resnet50-frozen": Foreign(
        bare(_pyramid, norm=_frozen), settings={"norm": "frozen_bn(eps=0)"}
    ),
    "vovnet39-v1": Foreign(of_timm("vovnet39a"), settings={"version": "v1"}),
    "inception_v3-aux": Foreign(bare(WithAux), 299, {"aux": True}, ordered=True),
    "googlenet_bn-five": Foreign(bare(_five, **NO_AUX), settings={"five": (5, 5)}),
}

NEITHER = {
    *("alexnet_2012", "attention_unet", "effnet", "fcn8s", "googlenet", "hypercolumn_vgg16"),
    *("lenet5", "nin", "nin_cifar10", "rednet50", "shufflenetv1", "unet", "unet_bn", "unetpp"),
    *("c2d_resnet50", "i3d_resnet50", "nonlocal_i3d_resnet50", "nonlocal_resnet50"),
    *("conv_kinds", "inception_claims", "dcn_resnet50", "dcnv2_resnet50"),
    *("yolov1", "yolov2", "yolov3", "yolov4"),
    "rpn",  # a part of Faster R-CNN
    *(name.split()[0] for name in REFERENCES),  # held to what one writes
}
"""What neither has: their two backends are compared with each other (`torch/test_zoo.py`)."""
