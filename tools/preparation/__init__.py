"""Parts of three tools that prepare data sets: record files by several processes, and the images of Fashion-MNIST."""
