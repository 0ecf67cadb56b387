"""What has to hold on a CUDA device; with `ESPALIER_GPU_TESTS=cpu` the same bodies run on the CPU."""
