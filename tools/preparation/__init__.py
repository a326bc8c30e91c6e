"""Parts of the tools that prepare data sets: directories of links, record files by several processes, Fashion-MNIST."""
