"""Published weights of timm and torchvision: their names, their images, and their training data."""

from dataclasses import dataclass

from torch import Tensor

from itl.errors import ItlError, no_such
from itl.specs import net_name
from itl.training.nets import check_known
from itl.training.weight_files import reason_of

DATASETS = {  # parts of timm's tags
    "in1k": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-22k",
    "ig1b": "Instagram-1B",
    "yfcc15m": "YFCC-15M",
    "yfcc100m": "YFCC-100M",
    "laion400m": "LAION-400M",
    "laion2b": "LAION-2B",
    "openai": "OpenAI's WIT-400M",
    "datacomp1b": "DataComp-1B",
    "webli": "WebLI",
    "jft": "JFT-300M",
    "lvd142m": "LVD-142M",
    "lvd1689m": "LVD-1689M",
    "swag": "Instagram (SWAG)",
    "seer": "Instagram (SEER)",
    "laiona": "LAION-A",
    "merged2b": "Merged-2B",
    "m30m": "Merged-30M",
    "m38m": "Merged-38M",
    "datacompxl": "DataComp-XL",
    "dfn2b": "DFN-2B",
    "dfn5b": "DFN-5B",
    "dfndr2b": "DFNDR-2B",
    "mclip": "DataCompDR-1B",
    "metaclip": "MetaCLIP",
    "metaclip2": "MetaCLIP 2",
    "bamboo": "Bamboo",
    "cc12m": "CC-12M",
    "sa1b": "SA-1B",
    "sat493m": "SAT-493M",
    "inw21k": "ImageNet-21k",
    "fcmae": "ImageNet-1k",  # of ConvNeXt V2: no labels
    "6m": "6 million images (SSLD)",
}
HUBS = ("timm", "torchvision")


@dataclass(frozen=True)
class Published:
    """What is known of weights: those that a library knows by name, or those of a file."""

    net: str  # such as timm:NAME.TAG or torchvision:NAME.WEIGHTS
    pixels: int | None  # side of the images that they were made for; None where that is not known
    mean: tuple[float, ...]  # of RGB from 0 to 1
    std: tuple[float, ...]
    trained_on: str  # for people


def architecture(net: str) -> str:
    """Return the net of *net*, which may name weights, as `itl.training.nets.build` takes it.

    >>> architecture("timm:resnet18.a1_in1k"), architecture("torchvision:alexnet"), architecture("small")
    ('timm:resnet18', 'alexnet', 'small')
    """
    library, _, name = net.rpartition(":")
    if library not in HUBS:
        return net
    return net_name(f"{library}:{name.partition('.')[0]}")


def published(net: str) -> Published:
    """Look up the weights *net*, timm:NAME[.TAG] or torchvision:NAME[.WEIGHTS]: the default without a tag.

    ItlError if the library has no such net, or publishes no such weights.
    """
    library, _, name = net.rpartition(":")
    if library not in HUBS:
        raise ItlError(
            f"no published weights called {net!r}; give timm:NAME[.TAG], torchvision:NAME[.WEIGHTS], or a "
            f"mapping with net and file"
        )
    return _of_timm(name) if library == "timm" else _of_torchvision(name)


def _of_timm(full: str) -> Published:
    import timm  # not at the top: it takes seconds

    name, _, tag = full.partition(".")
    check_known("timm", name)
    tags = [entry.partition(".")[2] for entry in timm.list_pretrained(f"{name}.*")]
    if tag and tag not in tags:
        raise no_such(tags, tag, f"timm weights of {name}")
    config = timm.get_pretrained_cfg(full)
    if not tags or config is None or config.tag is None:
        raise ItlError(
            f"timm publishes no weights of {name}; give a file, as in {{net: timm:{name}, file: FILE}}"
        )
    trained_on = _datasets(config.tag) or f"not said by timm's tag {config.tag}"
    licence = f" (licence {config.license})" if config.license else ""
    side = config.input_size[1]
    return Published(f"timm:{name}.{config.tag}", side, config.mean, config.std, trained_on + licence)


def _datasets(tag: str) -> str:
    """Say what timm's *tag* names as training data, in its order; '' if that is nothing.

    >>> _datasets("augreg_in21k_ft_in1k"), _datasets("clip_ft_in1k")
    ('ImageNet-21k, then ImageNet-1k', "data that timm's tag clip_ft_in1k does not name, then ImageNet-1k")
    """
    parts = tag.split("_")
    names = [DATASETS[part] for part in parts if part in DATASETS]
    before = parts[: parts.index("ft")] if "ft" in parts else parts
    if names and not any(part in DATASETS for part in before):  # fine-tuned from what?
        names.insert(0, f"data that timm's tag {tag} does not name")
    return ", then ".join(names)


def _of_torchvision(full: str) -> Published:
    weights, name = _torchvision_weights(full)
    settings = weights.transforms()
    trained_on = "ImageNet-1k" if weights.name.startswith("IMAGENET1K") else "not said by torchvision"
    if "SWAG" in weights.name:
        trained_on = f"{DATASETS['swag']}, then ImageNet-1k"
    mean, std = tuple(settings.mean), tuple(settings.std)
    return Published(f"torchvision:{name}.{weights.name}", settings.crop_size[0], mean, std, trained_on)


def _torchvision_weights(full: str):
    """Return torchvision's description of the weights *full*, NAME[.WEIGHTS], and NAME."""
    from torchvision import models

    name, _, tag = full.partition(".")
    check_known("torchvision", name)
    choices = models.get_model_weights(name)
    if tag and tag not in choices.__members__:
        raise no_such(list(choices.__members__), tag, f"torchvision weights of {name}")
    return (choices[tag] if tag else choices.DEFAULT), name


def fetch(net: str) -> dict[str, Tensor]:
    """Return the state dict of the published weights *net*, from the library's cache or the network.

    ItlError if they are in neither.
    """
    library, _, name = net.rpartition(":")
    try:
        if library == "torchvision":
            from torchvision import models

            weights, name = _torchvision_weights(name)
            # The model, not the file: DenseNets' files have names of an older version.
            return models.get_model(name, weights=weights, progress=False).state_dict()
        import timm

        return timm.create_model(name, pretrained=True).state_dict()
    except ItlError:
        raise
    except Exception as error:  # of urllib, of requests, of the hub's client, of a damaged cache
        raise ItlError(
            f"{net} is not in the cache of {library} and cannot be fetched ({reason_of(error)}); give a "
            f"file of it: {{net: {net}, file: FILE}}"
        ) from error
