/// A FAISS factory string out of the closed list that Annex builds and serves.
///
///     Flat                      exact scan
///     HNSWn[,Flat|,SQ8]         graph with n links (4 to 128), float32 or 8-bit storage
///     IVFn,Flat|SQ8|PQm         n inverted lists (1 to 1,048,576), codes as given
///     PCAd,… OPQm[_d],…         one transform in front of any IVF or HNSW above
package struct IndexKind: Hashable, Sendable, CustomStringConvertible {
    package enum Storage: Hashable, Sendable { case flat, sq8, pq(segments: Int) }
    package enum Family: Hashable, Sendable { case flat, hnsw(links: Int), ivf(lists: Int) }
    package enum Transform: Hashable, Sendable { case pca(dimension: Int), opq(segments: Int, dimension: Int?) }

    package let transform: Transform?
    package let family: Family
    package let storage: Storage
    /// Holds the string that FAISS's `index_factory` takes.
    package let description: String

    package static let documentation =
        "Flat; HNSWn, HNSWn,Flat or HNSWn,SQ8 (n 4 to 128); IVFn,Flat, IVFn,SQ8 or IVFn,PQm (n 1 to 1048576, m 1 to 256); "
        + "each but Flat also behind 'PCAd,', 'OPQm,' or 'OPQm_d,'"

    /// The search parameter that trades speed for recall, if the kind has one.
    package enum Knob: String, Sendable { case efSearch, nprobe, kappa }

    /// Returns what a query's effort sets for this kind; nil where there is nothing to set.
    ///
    /// On `ip` a bound tells more than the number of clusters, as norms are in it. On `cosine` clusters differ by
    /// direction alone, and reading the nearest ones takes fewer items for the same recall (measured on Gowalla: 2,400
    /// against about 4,000 at 0.99).
    ///
    /// - Parameter withCodes: whether there is a scan layout beside the index.
    package func knob(_ metric: Metric, withCodes: Bool) -> Knob? {
        switch self.family {
        case .flat: nil
        case .hnsw: .efSearch
        case .ivf: withCodes && metric == .ip ? .kappa : .nprobe
        }
    }

    /// Tells whether Annex scans the lists of this kind as clusters by direction, and so needs FAISS no more.
    package func scansClusters(_ metric: Metric) -> Bool {
        if case .ivf = self.family { metric != .l2 } else { false }
    }

    /// Tells whether a search needs what FAISS holds: a graph, or lists of another order than that of directions.
    package func needsFaiss(_ metric: Metric) -> Bool { self.family != .flat && !self.scansClusters(metric) }

    /// - Throws: `AnnexError.usage`, naming the part that is not in the list.
    package init(parsing text: String) throws(AnnexError) {
        func refuse(_ part: String) -> AnnexError {
            AnnexError(
                .usage,
                "index kind '\(Printable.escape(text))' is not supported: '\(Printable.escape(part))'",
                hint: "Use one of: " + Self.documentation
            )
        }
        var parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard let first = parts.first, !first.isEmpty, text.utf8.count <= 64 else { throw refuse(text) }
        if first.hasPrefix("PCA"), let d = Self.number(first.dropFirst(3), 1...Limits.maximumDimension) {
            self.transform = .pca(dimension: d)
            parts.removeFirst()
        } else if first.hasPrefix("OPQ") {
            let fields = first.dropFirst(3).split(separator: "_", omittingEmptySubsequences: false)
            guard let m = fields.first.flatMap({ Self.number($0, 1...256) }), fields.count <= 2 else {
                throw refuse(first)
            }
            var d: Int?
            if fields.count == 2 {
                d = Self.number(fields[1], 1...Limits.maximumDimension)
                guard let d, d % m == 0 else { throw refuse(first) }
            }
            self.transform = .opq(segments: m, dimension: d)
            parts.removeFirst()
        } else {
            self.transform = nil
        }
        guard let base = parts.first else { throw refuse(text) }
        let rest = parts.dropFirst()
        guard rest.count <= 1 else { throw refuse(rest.dropFirst().joined(separator: ",")) }
        if base == "Flat", rest.isEmpty, self.transform == nil {
            self.family = .flat
            self.storage = .flat
        } else if base.hasPrefix("HNSW"), let n = Self.number(base.dropFirst(4), 4...128) {
            self.family = .hnsw(links: n)
            switch rest.first {
            case nil, "Flat": self.storage = .flat
            case "SQ8": self.storage = .sq8
            case .some(let other): throw refuse(other)
            }
        } else if base.hasPrefix("IVF"), let n = Self.number(base.dropFirst(3), 1...1_048_576) {
            self.family = .ivf(lists: n)
            switch rest.first {
            case "Flat": self.storage = .flat
            case "SQ8": self.storage = .sq8
            case .some(let other):
                guard other.hasPrefix("PQ"), let m = Self.number(other.dropFirst(2), 1...256) else {
                    throw refuse(other)
                }
                self.storage = .pq(segments: m)
            case nil: throw refuse(base)
            }
        } else {
            throw refuse(base)
        }
        self.description = text
    }

    /// Reads a number of digits only: it has no sign, no blank and no leading zero.
    private static func number(_ text: some StringProtocol, _ range: ClosedRange<Int>) -> Int? {
        guard !text.isEmpty, text.utf8.count <= 7, text.utf8.first != UInt8(ascii: "0"),
            text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }), let n = Int(text),
            range.contains(n)
        else { return nil }
        return n
    }
}
