"""Mean and standard deviation of each channel of well-known data sets, for images scaled to 0..1.

The checker reads these constants from the source text, so each is a literal: `[means, deviations]`.
"""

imagenet_stats = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]
"""Means and deviations of the channels of ImageNet, as torchvision's pretrained models were trained with them."""

cifar_stats = [[0.491, 0.482, 0.447], [0.247, 0.243, 0.261]]
"""Means and deviations of the channels of CIFAR-10's training images."""

mnist_stats = [[0.131], [0.308]]
"""Mean and deviation of MNIST's training images."""

digits_stats = [[0.305], [0.376]]
"""Mean and deviation of the digits that ship with mfc, `builtin("digits")`."""
