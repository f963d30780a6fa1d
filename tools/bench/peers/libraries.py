"""How each library is built and asked. One thread for searching, two for building; `search(query_block, k)` gives ids."""

import importlib.metadata


class Missing(Exception):
    """The library is not installed, or does not have the metric."""


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise Missing("not installed") from None


class Hnswlib:
    name, package, grid = "hnswlib M16 efC200", "hnswlib", [16, 32, 64, 128, 256, 512, 1024]

    def __init__(self, rows, metric, threads):
        import hnswlib

        self.index = hnswlib.Index(space={"ip": "ip", "cosine": "cosine", "l2": "l2"}[metric], dim=rows.shape[1])
        self.index.init_index(max_elements=len(rows), ef_construction=200, M=16, random_seed=1)
        self.index.add_items(rows, num_threads=threads)

    def set(self, value):
        self.index.set_ef(value)

    def search(self, queries, k):
        return self.index.knn_query(queries, k=k, num_threads=1)[0]


class Faiss:
    package, factory, grid = "faiss-cpu", "", []

    def __init__(self, rows, metric, threads):
        import faiss
        import numpy as np

        self.faiss, self.normalise = faiss, metric == "cosine"
        if self.normalise:
            rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        faiss.omp_set_num_threads(threads)
        kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
        self.index = faiss.index_factory(rows.shape[1], self.factory, kind)
        self.index.train(rows)
        self.index.add(rows)
        faiss.omp_set_num_threads(1)

    def search(self, queries, k):
        return self.index.search(queries, k)[1]


class FaissHNSW(Faiss):
    name, factory, grid = "FAISS HNSW16", "HNSW16", [16, 32, 64, 128, 256, 512, 1024]

    def set(self, value):
        self.index.hnsw.efSearch = value


class FaissIVF(Faiss):
    name, factory, grid = "FAISS IVF256,Flat", "IVF256,Flat", [1, 2, 4, 8, 16, 32, 64]

    def set(self, value):
        self.index.nprobe = value


class Usearch:
    name, package, grid = "usearch 16", "usearch", [16, 32, 64, 128, 256, 512]

    def __init__(self, rows, metric, threads):
        import numpy as np
        from usearch.index import Index

        self.index = Index(
            ndim=rows.shape[1], metric={"ip": "ip", "cosine": "cos", "l2": "l2sq"}[metric], dtype="f32",
            connectivity=16, expansion_add=200)
        self.index.add(np.arange(len(rows)), rows, threads=threads)

    def set(self, value):
        self.index.expansion_search = value

    def search(self, queries, k):
        keys = self.index.search(queries, k, threads=1).keys
        return keys.reshape(len(queries), -1)


class Voyager:
    name, package, grid = "voyager M16 efC200", "voyager", [16, 32, 64, 128, 256, 512, 1024]

    def __init__(self, rows, metric, threads):
        import voyager

        space = {"ip": voyager.Space.InnerProduct, "cosine": voyager.Space.Cosine, "l2": voyager.Space.Euclidean}[metric]
        self.index = voyager.Index(space, num_dimensions=rows.shape[1], M=16, ef_construction=200, random_seed=1)
        self.index.add_items(rows, num_threads=threads)

    def set(self, value):
        self.ef = value

    def search(self, queries, k):
        return self.index.query(queries, k=k, num_threads=1, query_ef=max(self.ef, k))[0]


class SVS:
    name, package, grid = "SVS Vamana R32", "scalable-vs", [10, 12, 16, 20, 28, 40, 64, 96, 128, 192, 256]

    def __init__(self, rows, metric, threads):
        import numpy as np
        import svs

        if metric == "cosine":
            rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        kind = svs.DistanceType.L2 if metric == "l2" else svs.DistanceType.MIP
        parameters = svs.VamanaBuildParameters(
            graph_max_degree=32, window_size=200, alpha=1.2 if metric == "l2" else 0.95)
        self.index = svs.Vamana.build(parameters, np.ascontiguousarray(rows), kind, num_threads=threads)
        self.index.num_threads = 1

    def set(self, value):
        self.index.search_window_size = value

    def search(self, queries, k):
        return self.index.search(queries, k)[0]


class ScaNN:
    name, package = "ScaNN", "scann"
    grid = [(1, 30), (2, 40), (4, 60), (8, 80), (16, 100), (32, 150), (64, 200)]

    def __init__(self, rows, metric, threads):
        import numpy as np
        import scann

        if metric == "cosine":
            rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        leaves = max(16, int(len(rows) ** 0.5))
        self.index = (
            scann.scann_ops_pybind.builder(rows, 10, "squared_l2" if metric == "l2" else "dot_product")
            .set_n_training_threads(threads)
            .tree(num_leaves=leaves, num_leaves_to_search=8, training_sample_size=min(len(rows), 250_000))
            .score_ah(2, anisotropic_quantization_threshold=0.2)
            .reorder(100)
            .build()
        )

    def set(self, value):
        self.leaves, self.reorder = value

    def search(self, queries, k):
        if len(queries) == 1:
            found = self.index.search(
                queries[0], final_num_neighbors=k, pre_reorder_num_neighbors=self.reorder,
                leaves_to_search=self.leaves)[0]
            return found[None, :]
        return self.index.search_batched(
            queries, final_num_neighbors=k, pre_reorder_num_neighbors=self.reorder, leaves_to_search=self.leaves)[0]


class Annoy:
    name, package, grid = "annoy 50 trees", "annoy", [100, 1_000, 5_000, 20_000]

    def __init__(self, rows, metric, threads):
        from annoy import AnnoyIndex

        self.index = AnnoyIndex(rows.shape[1], {"ip": "dot", "cosine": "angular", "l2": "euclidean"}[metric])
        self.index.set_seed(1)
        for number, row in enumerate(rows):
            self.index.add_item(number, row)
        self.index.build(50, n_jobs=threads)

    def set(self, value):
        self.nodes = value

    def search(self, queries, k):
        return [self.index.get_nns_by_vector(query, k, search_k=self.nodes) for query in queries]


ALL = [SVS, ScaNN, Hnswlib, FaissHNSW, FaissIVF, Usearch, Voyager, Annoy]
