"""The two LeNets on which pruning is usually compared.

Source: Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998. ``LeNet5`` has the sizes of
Caffe's version (20 and 50 filters, 500 neurons); unlike Caffe's, a ReLU follows each convolution too.
"""

from __future__ import annotations

from torch import Tensor, nn

PIXELS = 28 * 28


class LeNet300(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """LeNet-300-100: [N, 1, 28, 28] images in, [N, classes] logits out; 266,610 parameters with 10 classes."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(PIXELS, 300), nn.Linear(300, 100), nn.Linear(100, classes)
        self.relu = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, 1, 28, 28]."""
        logits: Tensor = self.fc3(self.relu(self.fc2(self.relu(self.fc1(images.reshape(-1, PIXELS))))))
        return logits


class LeNet5(nn.Module):  # type: ignore[misc]
    """LeNet-5 (Caffe): [N, 1, 28, 28] images in, [N, classes] logits out; 431,080 parameters with 10 classes."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.fc1, self.fc2 = nn.Linear(50 * 4 * 4, 500), nn.Linear(500, classes)
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, 1, 28, 28]."""
        maps = self.pool(self.relu(self.conv1(images)))
        maps = self.pool(self.relu(self.conv2(maps)))
        logits: Tensor = self.fc2(self.relu(self.fc1(maps.reshape(-1, 50 * 4 * 4))))
        return logits
