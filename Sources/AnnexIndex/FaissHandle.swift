import AnnexCore
import CFaissShim

/// Owns one C++ index, which is freed with this object. Every call checks its arguments as the shim's header demands.
///
/// Unchecked because the pointer never changes, FAISS allows concurrent searches, and train and add are called by the
/// one thread that builds, before anyone else has the object.
@safe final class FaissHandle: @unchecked Sendable {
    private let raw: OpaquePointer

    private init(takingOwnership raw: OpaquePointer) { unsafe self.raw = raw }

    deinit { unsafe CFaissShim_free(self.raw) }

    private static let errorCapacity = 512

    /// Turns the shim's status into an error, for every call.
    private static func call(
        _ what: String,
        at path: String? = nil,
        code: AnnexError.Code = .system,
        _ body: (UnsafeMutablePointer<CChar>, Int) -> Int32
    ) -> AnnexError? {
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Self.errorCapacity) { text in
            guard let start = text.baseAddress else { return AnnexError(.system, what) }
            unsafe start[0] = 0
            if unsafe body(start, Self.errorCapacity) == 0 { return nil }
            return AnnexError(code, "\(what): \(unsafe Printable.escape(String(cString: start), limit: 400))", at: path)
        }
    }

    static func make(kind: IndexKind, dimension: Int, isL2: Bool, seed: UInt64) throws(AnnexError) -> FaissHandle {
        var raw: OpaquePointer?
        let metric = Int32(isL2 ? CFaissShim_metric_l2 : CFaissShim_metric_ip)
        let problem = unsafe Self.call("FAISS cannot make \(kind) of dimension \(dimension)", code: .usage) {
            text,
            capacity in
            unsafe CFaissShim_make(kind.description, Int32(dimension), metric, seed, &raw, text, capacity)
        }
        if let problem { throw problem }
        guard let raw = unsafe raw else { throw AnnexError(.system, "FAISS made no index") }
        return unsafe FaissHandle(takingOwnership: raw)
    }

    static func read(_ path: String) throws(AnnexError) -> FaissHandle {
        var raw: OpaquePointer?
        let problem = unsafe Self.call("FAISS cannot read the file", at: path, code: .damaged) { text, capacity in
            unsafe CFaissShim_read(path, &raw, text, capacity)
        }
        if let problem { throw problem }
        guard let raw = unsafe raw else { throw AnnexError(.damaged, "FAISS read no index", at: path) }
        return unsafe FaissHandle(takingOwnership: raw)
    }

    func write(_ path: String) throws(AnnexError) {
        let problem = unsafe Self.call("FAISS cannot write the file", at: path) { text, capacity in
            unsafe CFaissShim_write(self.raw, path, text, capacity)
        }
        if let problem { throw problem }
    }

    func train(_ rows: [Float], count: Int, threads: Int) throws(AnnexError) {
        precondition(rows.count == count * self.dimension, "unchecked rows")
        let problem = unsafe Self.call("FAISS cannot train on \(count) rows") { text, capacity in
            unsafe CFaissShim_train(self.raw, Int64(count), rows, Int32(threads), text, capacity)
        }
        if let problem { throw problem }
    }

    /// - Parameter codes: of all rows, in the order of ordinals: a graph is built over these.
    func add(_ rows: [Float], count: Int, codes: ScanLayout?, threads: Int) throws(AnnexError) {
        precondition(rows.count == count * self.dimension, "unchecked rows")
        let problem = unsafe Self.call("FAISS cannot add \(count) rows") { text, capacity in
            guard let codes else {
                return unsafe CFaissShim_add(self.raw, Int64(count), rows, Int32(threads), text, capacity)
            }
            var lent = unsafe codes.codes
            // The graph is built by l2, where a row's half square is its bias. On cosine the layout has none: searches need none.
            let biases = codes.shape.metric == .cosine ? codes.halfSquares() : []
            return unsafe biases.withUnsafeBufferPointer { biases in
                if !biases.isEmpty { unsafe lent.biases = biases.baseAddress }
                return unsafe CFaissShim_add_coded(self.raw, Int64(count), rows, &lent, Int32(threads), text, capacity)
            }
        }
        if let problem { throw problem }
    }

    /// Answers one query. The arrays must have room for at least `k` elements. Allocates nothing of its own.
    func search(
        _ query: [Float],
        _ k: Int,
        _ effort: Int,
        _ marks: UnsafePointer<UInt64>?,
        _ epoch: UInt32,
        _ distances: inout [Float],
        _ ordinals: inout [Int64]
    ) -> AnnexError? {
        precondition(
            query.count == self.dimension && distances.count >= k && ordinals.count >= k && k >= 1 && effort >= 1
        )
        return unsafe Self.call("FAISS cannot search") { text, capacity in
            unsafe CFaissShim_search(
                self.raw,
                query,
                Int64(k),
                Int64(effort),
                marks,
                epoch,
                &distances,
                &ordinals,
                text,
                capacity
            )
        }
    }

    var count: Int { unsafe Int(CFaissShim_count(self.raw)) }
    var dimension: Int { unsafe Int(CFaissShim_dimension(self.raw)) }
    var isL2: Bool { unsafe Int(CFaissShim_metric(self.raw)) == Int(CFaissShim_metric_l2) }

    /// Whether the C++ class and its parameters are those of a kind: links or lists, bytes of a row's code, and the dimension
    /// behind a transform. PCA and OPQ are both a matrix in the file, and not told apart.
    func holds(_ kind: IndexKind) -> Bool {
        let expected: Int
        var parameter = 0
        switch (kind.family, kind.storage) {
        case (.flat, _): expected = Int(CFaissShim_class_flat)
        case (.hnsw(let links), .flat): (expected, parameter) = (Int(CFaissShim_class_hnsw_flat), links)
        case (.hnsw(let links), _): (expected, parameter) = (Int(CFaissShim_class_hnsw_sq), links)
        case (.ivf(let lists), .flat): (expected, parameter) = (Int(CFaissShim_class_ivf_flat), lists)
        case (.ivf(let lists), .sq8): (expected, parameter) = (Int(CFaissShim_class_ivf_sq), lists)
        case (.ivf(let lists), .pq): (expected, parameter) = (Int(CFaissShim_class_ivf_pq), lists)
        }
        let actual = unsafe Int(CFaissShim_class(self.raw))
        let size = unsafe Int(CFaissShim_parameter(self.raw))
        let hasTransform = unsafe CFaissShim_has_transform(self.raw) != 0
        let inner = unsafe Int(CFaissShim_inner_dimension(self.raw))
        let bytes = unsafe Int(CFaissShim_code_bytes(self.raw))
        return actual == expected && size == parameter && hasTransform == (kind.transform != nil)
            && inner == self.innerDimension(of: kind) && bytes == Self.codeBytes(of: kind, inner)
    }

    private func innerDimension(of kind: IndexKind) -> Int {
        switch kind.transform {
        case nil, .opq(_, nil): self.dimension
        case .pca(let dimension), .opq(_, .some(let dimension)): dimension
        }
    }

    private static func codeBytes(of kind: IndexKind, _ dimension: Int) -> Int {
        switch kind.storage {
        case .flat: dimension * MemoryLayout<Float>.size
        case .sq8: dimension
        case .pq(let segments): segments
        }
    }

    /// Returns the first link or list that would lead a walk out of bounds; nil where there is none.
    func structuralProblem() -> String? {
        unsafe Self.call("damaged structure") { text, capacity in unsafe CFaissShim_validate(self.raw, text, capacity)
        }?
        .message
    }

    /// Returns the graph's arrays, which live as long as this object; nil without a graph.
    func graph() -> CFaissShim_Graph? {
        var graph = unsafe CFaissShim_Graph()
        return unsafe CFaissShim_graph(self.raw, &graph) == 0 ? unsafe graph : nil
    }

    /// Returns the list of each item; nil without lists.
    func lists() -> [Int32]? {
        var lists = [Int32](repeating: -1, count: self.count)
        return unsafe CFaissShim_lists(self.raw, &lists) == 0 && !lists.contains(-1) ? lists : nil
    }
}
