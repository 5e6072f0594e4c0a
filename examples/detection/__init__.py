# SPDX-License-Identifier: Apache-2.0
"""Local against remote object detection, and split between both: YOLOv3-tiny on the 80 classes of COCO."""
