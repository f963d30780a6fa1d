"""The peers: each builds with two threads, searches with one, and says what it sweeps.

A system has `package` (as installed), `module` (as imported), `text` (its fixed parameters), `grid(n)`, `build(items)`,
`set(point)`, `one(query)` and `many(queries)`; `shape` makes of a row what `one` takes, outside of the measured loop.
Vectors come normalised on cosine, so that all of them search by inner product there and none pays for it per query.
"""

import numpy as np

K = 10
BUILD_THREADS = 2
EFS = [10, 16, 25, 40, 70, 120, 250, 500, 1000]


class System:
    package = module = name = text = ""
    knob = "ef"

    def __init__(self, metric):
        self.metric = metric
        self.is_l2 = metric == "l2"

    def grid(self, n):
        return EFS

    def label(self, point):
        return f"{self.knob} {point}"

    def shape(self, row):
        return row

    def many(self, queries):
        """All queries in one call; None where the library has no such call."""
        return None


class Hnswlib(System):
    name, package, module, text = "hnswlib", "hnswlib", "hnswlib", "M 16, efConstruction 200"

    def build(self, items):
        import hnswlib
        self.index = hnswlib.Index(space="l2" if self.is_l2 else "ip", dim=items.shape[1])
        self.index.init_index(max_elements=len(items), M=16, ef_construction=200, random_seed=1)
        self.index.add_items(items, num_threads=BUILD_THREADS)
        self.index.set_num_threads(1)

    def set(self, point):
        self.index.set_ef(point)

    def one(self, query):
        return self.index.knn_query(query, K, num_threads=1)[0][0]

    def many(self, queries):
        return self.index.knn_query(queries, K, num_threads=1)[0]


class Faiss(System):
    package, module = "faiss-cpu", "faiss"

    def build(self, items):
        import faiss
        faiss.omp_set_num_threads(BUILD_THREADS)
        metric = faiss.METRIC_L2 if self.is_l2 else faiss.METRIC_INNER_PRODUCT
        self.index = faiss.index_factory(items.shape[1], self.factory(items), metric)
        self.tune(self.index)
        self.index.train(items)
        self.index.add(items)
        self.parameters = faiss.ParameterSpace()
        faiss.omp_set_num_threads(1)

    def tune(self, index):
        pass

    def set(self, point):
        self.parameters.set_index_parameter(self.index, self.knob, point)

    def shape(self, row):
        return row.reshape(1, -1)

    def one(self, query):
        return self.index.search(query, K)[1][0]

    def many(self, queries):
        return self.index.search(queries, K)[1]


class FaissHNSW(Faiss):
    name, text, knob = "faiss HNSW16", "HNSW16,Flat, efConstruction 200", "efSearch"

    def factory(self, items):
        return "HNSW16,Flat"

    def tune(self, index):
        index.hnsw.efConstruction = 200


def faiss_lists(n):
    return 1 << max(4, int(2.5 * n ** 0.5).bit_length() - 1)


class FaissIVF(Faiss):
    name, text, knob = "faiss IVF", "IVFn,Flat; n the power of two below 2.5 sqrt(items)", "nprobe"

    def factory(self, items):
        return f"IVF{faiss_lists(len(items))},Flat"

    def grid(self, n):
        return [p for p in (1, 2, 4, 8, 16, 32, 64, 128, 256) if p <= faiss_lists(n)]


class FaissFastScan(Faiss):
    name, knob = "faiss IVF fast scan", "nprobe"
    text = "IVFn,PQ(d/2)x4fsr,RFlat with 10 k rescored; n as IVF"

    def factory(self, items):
        return f"IVF{faiss_lists(len(items))},PQ{items.shape[1] // 2}x4fsr,RFlat"

    def tune(self, index):
        index.k_factor = 10

    def grid(self, n):
        return [p for p in (2, 4, 8, 16, 32, 64, 128, 256) if p <= faiss_lists(n)]


class Usearch(System):
    name, package, module = "usearch", "usearch", "usearch"
    text, knob = "f32, connectivity 16, expansion_add 200", "expansion_search"

    def build(self, items):
        from usearch.index import Index
        self.index = Index(ndim=items.shape[1], metric="l2sq" if self.is_l2 else "ip", dtype="f32", connectivity=16, expansion_add=200)
        self.index.add(np.arange(len(items), dtype=np.uint64), items, threads=BUILD_THREADS)

    def set(self, point):
        self.index.expansion_search = point

    def one(self, query):
        return self.index.search(query, K, threads=1).keys

    def many(self, queries):
        return self.index.search(queries, K, threads=1).keys


class Voyager(System):
    name, package, module, text = "voyager", "voyager", "voyager", "Float32, M 16, ef_construction 200, added by falling norm"

    def build(self, items):
        import voyager
        space = voyager.Space.Euclidean if self.is_l2 else voyager.Space.InnerProduct
        self.index = voyager.Index(space, num_dimensions=items.shape[1], M=16, ef_construction=200, random_seed=1, max_elements=len(items))
        # Its inner product leans on the largest norm so far: in file order recall stays under 0.8 on Gowalla.
        order = np.argsort(-np.linalg.norm(items, axis=1), kind="stable")
        self.index.add_items(items[order], ids=order, num_threads=BUILD_THREADS)

    def set(self, point):
        self.ef = point

    def one(self, query):
        return self.index.query(query, K, num_threads=1, query_ef=self.ef)[0]

    def many(self, queries):
        return self.index.query(queries, K, num_threads=1, query_ef=self.ef)[0]


class Annoy(System):
    name, package, module, text, knob = "annoy", "annoy", "annoy", "50 trees", "search_k"

    def grid(self, n):
        return [500, 1500, 5000, 15000, 40000]

    def build(self, items):
        from annoy import AnnoyIndex
        self.index = AnnoyIndex(items.shape[1], "euclidean" if self.is_l2 else "dot")
        self.index.set_seed(1)
        for number, row in enumerate(items):
            self.index.add_item(number, row)
        self.index.build(50, n_jobs=BUILD_THREADS)

    def set(self, point):
        self.search_k = point

    def shape(self, row):
        return row.tolist()

    def one(self, query):
        return self.index.get_nns_by_vector(query, K, search_k=self.search_k)


class Scann(System):
    name, package, module = "scann", "scann", "scann"
    text = "tree of sqrt(items) leaves, 2 dimensions a block, anisotropic 0.2 on ip and cosine, rescored"

    def grid(self, n):
        """Leaves to search with candidates to rescore."""
        leaves = self.leaves(n)
        parts = [0.01, 0.02, 0.04, 0.07, 0.12, 0.2, 0.35, 0.6]
        return [[max(1, round(part * leaves)), rescored] for part in parts for rescored in (40, 100, 250, 600)] + [[leaves, 800]]

    @staticmethod
    def leaves(n):
        return max(10, round(n ** 0.5 / 10) * 10)

    def label(self, point):
        return f"leaves {point[0]}, rescored {point[1]}"

    def build(self, items):
        import scann
        build = scann.scann_ops_pybind.builder(items, K, "squared_l2" if self.is_l2 else "dot_product")
        build = build.set_n_training_threads(BUILD_THREADS)
        build = build.tree(num_leaves=self.leaves(len(items)), num_leaves_to_search=10, training_sample_size=min(len(items), 250_000))
        coding = {} if self.is_l2 else {"anisotropic_quantization_threshold": 0.2}
        self.index = build.score_ah(2, **coding).reorder(100).build()

    def set(self, point):
        self.probe, self.rescored = point

    def one(self, query):
        return self.index.search(query, K, self.rescored, self.probe)[0]

    def many(self, queries):
        return self.index.search_batched(queries, K, self.rescored, self.probe)[0]


class Vamana(System):
    name, package, module, knob = "SVS Vamana", "scalable-vs", "svs", "window"
    text = "float32, degree 32, window 200, alpha 0.95 (1.2 on l2)"

    def build(self, items):
        import svs
        parameters = svs.VamanaBuildParameters(graph_max_degree=32, window_size=200, alpha=1.2 if self.is_l2 else 0.95)
        self.index = svs.Vamana.build(parameters, items, svs.DistanceType.L2 if self.is_l2 else svs.DistanceType.MIP, num_threads=BUILD_THREADS)
        self.index.num_threads = 1

    def set(self, point):
        self.index.search_window_size = point

    def one(self, query):
        return self.index.search(query, K)[0][0]

    def many(self, queries):
        return self.index.search(queries, K)[0]


ALL = [Hnswlib, FaissHNSW, FaissIVF, FaissFastScan, Usearch, Voyager, Annoy, Scann, Vamana]
