"""Names that options accept, each with its explanation for `--help`.

An explanation may be empty. Names of registries are here too, because a registry imports TensorFlow, which `--help`
must not load. The registry alone decides which names a run accepts; tests/test_registries.py checks that the names
listed here are those of the registry.
"""

from collections.abc import Mapping

ARCHITECTURES = {
    "sagan": "residual",
    "sngan": "residual, without attention, plain generator",
    "dcgan": "convolutional",
}
ATTENTION_BLOCKS = {
    "self_attention": "",
    "residual": "a residual block with about as many parameters, the control of the paper's attention study",
}
ATTENTION_FORMS = {
    "pooled": "keys and values are max-pooled 2x2, as in the official code",
    "paper": "the paper's equations",
    "full": "values of full width, without an output convolution",
}
AUGMENTATIONS = {"color": "", "translation": "", "cutout": "", "flip": ""}
CONDITIONINGS = {
    "projection": "Miyato & Koyama 2018",
    "auxiliary_classifier": "AC-GAN, Odena et al. 2017",
    "none": "neither network uses labels",
}
DATASETS = {
    "fashion_mnist_10k": "packaged",
    "folder": "images in data_dir, with one subdirectory for each class",
    "tfrecord": "files in data_dir that tools/prepare_imagenet.py wrote",
}
DISCRIMINATOR_POOLINGS = {
    "sum": "official code and all published configurations",
    "mean": "",
    "scaled_sum": "the sum divided by the square root of the number of locations",
}
EXTRACTORS = {
    "inception": "TF-GAN's Inception",
    "fashion_mnist": "packaged",
    "efficientnet_lite0": "packaged, for color images; Tan and Le 2019",
}
PACKAGED_EXTRACTORS = tuple(name for name in EXTRACTORS if name != "inception")
LABEL_SAMPLINGS = {
    "uniform": "real images as in the data, fake labels uniform over the classes",
    "data": "fake labels as frequent as in the data, as in the equations of the SAGAN paper",
    "balanced": "real images of every class equally often, so that those of small classes return sooner, and uniform "
    "fake labels",
}
LEARNING_RATE_SCHEDULES = {"constant": "no decay", "linear": "SNGAN's published runs", "cosine": ""}
PRECISIONS = {"float32": "", "mixed_bfloat16": "", "mixed_float16": "with loss scaling"}
LOSSES = {
    "hinge": "",
    "non_saturating": "",
    "least_squares": "",
    "wasserstein": "",
    "relativistic": "compares each real image with a fake image of the same label; R3GAN, Huang et al. 2024",
}
METRICS_WITH_HELD_OUT = ("authenticity", "classification_accuracy_score")
METRICS_WITH_REFERENCE = (
    *("fid", "kid", "intra_fid", "fcd", "kcd", "intra_fcd", "precision_recall", "density_coverage"),
    "class_precision_recall",
    *METRICS_WITH_HELD_OUT,
)
METRICS_WITHOUT_REFERENCE = ("is", "classifier_score", "label_agreement", "class_agreement")
METRICS = METRICS_WITH_REFERENCE + METRICS_WITHOUT_REFERENCE


def describe_names(names: Mapping[str, str]) -> str:
    """Return the part of a help text that lists names.

    Args:
        names: The explanation of each name, which follows it in parentheses; empty for a name without one.

    Examples:
        >>> describe_names({"auto": "the fastest", "strided": "", "plain": "one after the other"})
        'auto (the fastest), strided or plain (one after the other)'
    """
    *others, last = (f"{name} ({text})" if text else name for name, text in names.items())
    return f"{', '.join(others)} or {last}" if others else last
