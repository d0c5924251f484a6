"""What is trained: study files, workloads, the data that they use, and benchmarks."""
