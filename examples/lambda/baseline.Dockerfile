# SPDX-License-Identifier: Apache-2.0
# The image of both functions of baseline.yaml: plain Python, with Lambda's own runtime client. From the root of the repository:
#   docker buildx build --platform linux/amd64 --file examples/lambda/baseline.Dockerfile .
FROM python:3.11-slim-bookworm AS build
# As in Dockerfile.
ARG PIP_INDEX_URL
COPY requirements /requirements
COPY examples/lambda/baseline_packages.txt /requirements/
RUN python -m venv /opt/python \
 && /opt/python/bin/pip install --no-cache-dir -r /requirements/baseline_packages.txt

FROM python:3.11-slim-bookworm
COPY --from=build /opt/python /opt/python
COPY build/models/emotion.pt build/models/yolov3_tiny.pt build/models/coco_names.txt /models/
WORKDIR /var/task
COPY examples/common common
COPY examples/emotion emotion
COPY examples/detection detection
ENV PATH=/opt/python/bin:$PATH \
    EMOTION_MODELS=/models \
    DETECTION_MODELS=/models
ENTRYPOINT ["python", "-m", "awslambdaric"]
CMD ["emotion.baseline.handler"]
