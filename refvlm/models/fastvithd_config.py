"""The numbers that make one FastViTHD another, and where they are read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..blocks.convolutional.map_attention import HEAD_DIM
from ..blocks.training_mode import rising_rates
from . import fields
from .fields import ConfigError

MIXERS = ("repmixer", "attention")
MAX_BLOCKS = 1024  # FastViTHD has 44


@dataclass(frozen=True)
class FastViTHDConfig:
    """One entry for each stage; the names are timm's, the defaults FastViTHD's.

    `downsamples` says which stages begin by halving the picture (all that change the
    number of channels do), `pos_embs` which have a conditional position encoding.
    `inference_mode` is the form that the weights are stored in: folded, or not.
    """

    layers: tuple[int, ...] = (2, 12, 24, 4, 2)
    embed_dims: tuple[int, ...] = (96, 192, 384, 768, 1536)
    mlp_ratios: tuple[float, ...] = (4, 4, 4, 4, 4)
    token_mixers: tuple[str, ...] = (*["repmixer"] * 3, *["attention"] * 2)
    downsamples: tuple[bool, ...] = (False, True, True, True, True)
    pos_embs: tuple[bool, ...] = (False, False, False, True, True)
    repmixer_kernel_size: int = 3
    down_patch_size: int = 7
    down_stride: int = 2
    lkc_use_act: bool = True
    stem_use_scale_branch: bool = False
    cls_ratio: float = 2.0
    drop_path_rate: float = 0.0
    inference_mode: bool = True

    def __post_init__(self):
        for problem in _problems(self):
            raise ConfigError(f"the vision tower's configuration: {problem}")

    @property
    def width(self) -> int:
        """The channels of the features: 3072."""
        return int(self.embed_dims[-1] * self.cls_ratio)

    def hidden(self, stage: int) -> int:
        """The width inside the ConvFFNs of a stage."""
        return int(self.embed_dims[stage] * self.mlp_ratios[stage])

    def halves(self, stage: int) -> bool:
        """Whether a stage begins with a patch embedding."""
        before = self.embed_dims[max(stage - 1, 0)]
        return self.downsamples[stage] or before != self.embed_dims[stage]

    def drop_rates(self) -> list[list[float]]:
        """Stochastic depth for each block: from 0 up to `drop_path_rate`, evenly."""
        return rising_rates(self.drop_path_rate, self.layers)

    @classmethod
    def from_json(cls, config: Mapping) -> FastViTHDConfig:
        """From the `vision_config` of Hugging Face's FastVLM, strictly.

        It names timm's `fastvit_mci3`, and in `model_args` what differs from it.
        """
        fields.only(config, "model_type", "timm_wrapper", default="timm_wrapper")
        architecture = str(config.get("architecture")).partition(".")[0]
        fields.only({"architecture": architecture}, "architecture", "fastvit_mci3")
        built = _from_model_args(cls(), config.get("model_args") or {})
        width = fields.whole(config, "hidden_size", built.width)
        if width != built.width:
            raise ConfigError(
                f"config.json: vision_config.hidden_size is {width}, but its "
                f"architecture makes {built.width} channels"
            )
        return built


def _from_model_args(default: FastViTHDConfig, args: Mapping) -> FastViTHDConfig:
    """timm's arguments, each checked; a longer list than there are stages is cut."""
    if not isinstance(args, Mapping):
        raise ConfigError(f"config.json: model_args must be an object: {args!r:.60}")
    _refuse_others(args)
    stages = len(_list(args, "layers", default.layers, 1))

    def each(name, read, **limits):
        values = _list(args, name, getattr(default, name), stages)[:stages]
        return tuple(read({name: value}, name, **limits) for value in values)

    return FastViTHDConfig(
        layers=each("layers", fields.whole, high=1024),
        embed_dims=each("embed_dims", fields.whole, high=1 << 16),
        mlp_ratios=each("mlp_ratios", fields.number, high=64),
        token_mixers=each("token_mixers", _mixer),
        downsamples=each("downsamples", fields.flag),
        pos_embs=(False,) * stages if "pos_embs" in args else default.pos_embs[:stages],
        repmixer_kernel_size=fields.whole(args, "repmixer_kernel_size", 3, high=31),
        down_patch_size=fields.whole(args, "down_patch_size", 7, high=31),
        down_stride=fields.whole(args, "down_stride", 2, high=8),
        lkc_use_act=fields.flag(args, "lkc_use_act", default.lkc_use_act),
        stem_use_scale_branch=fields.flag(args, "stem_use_scale_branch", False),
        cls_ratio=fields.number(args, "cls_ratio", 2.0, high=64),
        drop_path_rate=fields.number(args, "drop_path_rate", 0.0, low=-1e-9, high=1),
        inference_mode=fields.flag(args, "inference_mode", False),
    )


def _mixer(config, name):
    return fields.only(config, name, *MIXERS)


def _list(args, name, default, at_least):
    values = args.get(name, default)
    if not isinstance(values, (list, tuple)) or not at_least <= len(values) <= 64:
        raise ConfigError(
            f"config.json: {name} must be a list with an entry for each of at least "
            f"{at_least} stages, not {values!r:.60}"
        )
    return values


def _refuse_others(args):
    """Arguments that would change the tower in a way that is not implemented."""
    fields.only(args, "in_chans", 3, default=3)
    for name in ("se_downsamples", "pos_embs"):
        if any(_list(args, name, (), 0)):
            raise ConfigError(f"config.json: {name} is not implemented: {args[name]!r}")
    known = {*FastViTHDConfig.__dataclass_fields__, "in_chans", "se_downsamples"}
    known |= {"num_classes", "global_pool", "drop_rate"}  # of a head that is not used
    known |= {"proj_drop_rate", "layer_scale_init_value"}  # of training
    unknown = sorted(map(str, set(args) - known))
    if unknown or args.get("layer_scale_init_value", 1e-5) is None:
        unknown = unknown or ["layer_scale_init_value: null"]
        raise ConfigError(
            f"config.json: model_args has {unknown[0]!r:.60}, which is not implemented"
        )


def _problems(config):
    """What is wrong with a configuration, in sentences."""
    stages = len(config.layers)
    names = ("embed_dims", "mlp_ratios", "token_mixers", "downsamples", "pos_embs")
    for name in names:
        if len(getattr(config, name)) != stages or not stages:
            yield f"{name} has {len(getattr(config, name))} entries for {stages} stages"
            return
    if sum(config.layers) > MAX_BLOCKS:
        yield f"{sum(config.layers)} blocks are more than {MAX_BLOCKS}"
        return
    for stage, dim in enumerate(config.embed_dims):
        before = config.embed_dims[max(stage - 1, 0)]
        if dim < 1 or dim % before:
            yield f"{before} channels cannot become {dim}, which is no multiple of them"
        if config.token_mixers[stage] not in MIXERS:
            yield f"there is no token mixer {config.token_mixers[stage]!r:.60}"
        if config.token_mixers[stage] == "attention" and dim % HEAD_DIM:
            yield f"{dim} channels cannot be cut into heads of {HEAD_DIM}"
        if config.hidden(stage) < 1:
            yield f"an mlp_ratio of {config.mlp_ratios[stage]} leaves no channels"
    if config.width < 1 or config.width % config.embed_dims[-1]:
        yield f"cls_ratio must be a whole number, not {config.cls_ratio}"
    if config.repmixer_kernel_size % 2 == 0 or config.down_patch_size % 2 == 0:
        yield "kernels must be of odd size, to have a centre"
    if config.down_patch_size < 3:
        yield "down_patch_size must be at least 3"
    if not 0 <= config.drop_path_rate <= 1:
        yield f"drop_path_rate is a probability, not {config.drop_path_rate}"
