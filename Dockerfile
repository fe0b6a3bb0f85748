# Syncline on x86-64, without a GPU. One image for all services of docker-compose.yml.
#
# Build arguments for networks where pip needs them: PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS. Without an index that
# has torch's CPU wheel, pip takes the CUDA one, which is gigabytes.
FROM debian:bookworm-slim

RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      python3 python3-venv ca-certificates libusb-1.0-0 libgl1 libgomp1 libegl1 libgl1-mesa-dri libglib2.0-0 \
 && rm -rf /var/lib/apt/lists/*

RUN python3 -m venv /opt/syncline/.venv
ENV PATH=/opt/syncline/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE OPENBLAS_NUM_THREADS=1 RAY_USAGE_STATS_ENABLED=0 HOME=/tmp

# What it needs first, so that a change of the code does not install all that again.
ARG PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS
WORKDIR /opt/syncline
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir pipeline nodes fusion calibration \
 && touch pipeline/__init__.py nodes/__init__.py fusion/__init__.py calibration/__init__.py \
 && pip install --quiet --no-cache-dir --disable-pip-version-check -c constraints.txt -e '.[view,openvino]' \
 && rm -rf pipeline nodes fusion calibration

COPY calibration calibration
COPY fusion fusion
COPY nodes nodes
COPY pipeline pipeline
COPY configs configs
RUN python3 -m compileall -q calibration fusion nodes pipeline \
 && MPLCONFIGDIR=/opt/syncline/matplotlib python3 -c 'import matplotlib.font_manager' \
 && useradd --uid 1000 --create-home syncline \
 && install -d -o syncline -g syncline -m 0700 /runs
USER syncline
# matplotlib looks for its fonts once; it takes what it found only from a folder that it may write to.
ENV MPLCONFIGDIR=/tmp/matplotlib
ENTRYPOINT ["sh", "-c", "cp -r /opt/syncline/matplotlib /tmp/ 2>/dev/null; exec syncline \"$@\"", "syncline"]
