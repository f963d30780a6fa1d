package import AnnexCore

/// Makes a scan layout out of the rows, and out of lists where an inverted file gives them.
///
/// The order: on `ip` the longest rows first (what can score high stands in front: Teflioudi and Gemulla 2016, "LEMP"),
/// and inside each cluster the same; on `cosine` inside a cluster by closeness to its direction; on `l2` as they come.
/// Equal ones by ordinal, so the same input gives the same bytes with any number of threads.
///
/// A row whose scores cannot be bounded (`VectorFile.isBounded`) is encoded as zeros with an infinite error, and bounds of
/// what it stands behind are infinite: an exact search then scores it by its float32 row.
package struct ScanBuilder {
    /// So many of the longest rows stand in front of all clusters.
    static let headItems = 512

    private let vectors: VectorFile
    private let metric: Metric
    /// Taken off every row before it is encoded.
    private let center: [Float]
    private let workers: Int

    package init(vectors: VectorFile, metric: Metric, threads: Int) {
        self.vectors = vectors
        self.metric = metric
        self.workers = max(1, threads)
        self.center = metric == .ip ? [] : Self.mean(vectors, metric)
    }

    /// Makes a layout with one order for all items. O(rows × (dimension + log rows)).
    package func ordered() throws(AnnexError) -> ScanLayout {
        var order = Array(0..<Int32(self.vectors.rows))
        if self.metric == .ip { self.sortByNorm(&order[...]) }
        return try self.layout(head: order, clusters: [])
    }

    /// Makes codes one after the other in the order of ordinals, without links. A graph is built over them.
    package func rowCodes() throws(AnnexError) -> ScanLayout {
        try self.layout(
            head: Array(0..<Int32(self.vectors.rows)),
            clusters: [],
            links: LinkTable(rows: self.vectors.rows)
        )
    }

    /// Makes codes one after the other, in an order that begins with the items where a walk may begin. `links` lead
    /// from ordinal to ordinal, `levels` has the number of levels of each item in the graph.
    func graph(_ links: LinkTable, levels: [Int32]) throws(AnnexError) -> (ScanLayout, LinkCounts) {
        let order = self.walkOrder(levels)
        var repair = LinkRepair(links, seeds: order.prefix(ScanShape.seeds(of: order.count)))
        var layout = try self.layout(head: order, clusters: [], links: repair.repaired.reordered(order))
        var counts = repair.counts
        for round in 0..<WalkProbe.rounds(self.metric) {
            let items = WalkProbe.items(of: self.vectors.rows, round: round)
            let missed = WalkProbe(layout: layout, vectors: self.vectors, workers: self.workers).missed(items)
            let bridges = repair.bridge(missed)
            var looks = counts.looks ?? .init(tried: items.count, missed: missed.count, bridges: 0)
            looks.bridges += bridges
            counts.looks = looks
            guard bridges > 0 else { break }
            layout = try self.layout(head: order, clusters: [], links: repair.repaired.reordered(order))
        }
        return (layout, counts)
    }

    /// Returns the order in which a graph's items lie in memory. On `ip` they stand by falling norm, so that those
    /// which walks meet most lie together. Elsewhere the items of the upper levels come first.
    func walkOrder(_ levels: [Int32]) -> [Int32] {
        var order = Array(0..<Int32(self.vectors.rows))
        if self.metric == .ip {
            self.sortByNorm(&order[...])
        } else {
            order.sort { (levels[Int($0)], $1) > (levels[Int($1)], $0) }
            order[ScanShape.seeds(of: order.count)...].sort()
        }
        return order
    }

    /// Makes a head and clusters; `lists` has the cluster of each row, 0 ..< `count`. It is not for `l2`.
    package func clustered(lists: [Int32], count: Int) throws(AnnexError) -> ScanLayout {
        precondition(lists.count == self.vectors.rows && self.metric != .l2, "unchecked lists")
        var inHead = [Bool](repeating: false, count: lists.count)
        var head: [Int32] = []
        if self.metric == .ip {
            var order = Array(0..<Int32(self.vectors.rows))
            self.sortByNorm(&order[...])
            head = Array(order.prefix(Self.headItems))
            for ordinal in head { inHead[Int(ordinal)] = true }
        }
        var members = [[Int32]](repeating: [], count: count)
        for (ordinal, list) in lists.enumerated() where !inHead[ordinal] { members[Int(list)].append(Int32(ordinal)) }
        return try self.layout(head: head, clusters: members.filter { !$0.isEmpty })
    }

    private func sortByNorm(_ ordinals: inout ArraySlice<Int32>) {
        ordinals.sort { (self.length(Int($0)), $1) > (self.length(Int($1)), $0) }
    }

    /// Returns the key that rows are sorted by: the length. Rows without a bound come first.
    private func length(_ ordinal: Int) -> Float {
        self.vectors.isBounded(ordinal) ? self.vectors.norm(ordinal) : .infinity
    }

    private static func mean(_ vectors: VectorFile, _ metric: Metric) -> [Float] {
        var sums = [Double](repeating: 0, count: vectors.dimension)
        for row in 0..<vectors.rows where vectors.isBounded(row) {
            let scale = Self.scale(vectors, row, metric)
            vectors.withRow(row) { values in
                for index in values.indices { sums[index] += Double(values[index] * scale) }
            }
        }
        return sums.map { Float($0 / Double(vectors.rows)) }
    }

    // MARK: Filling

    private struct Cluster {
        /// Holds the ordinals, in the order of the scan.
        var members: [Int32]
        var direction: [Float] = []
        /// Holds the parts of each member along the direction and across it: x·d, and the length of x − (x·d / |d|²) d.
        /// They are infinite where there is no bound.
        var along: [Double] = []
        var across: [Double] = []
    }

    private func layout(
        head: [Int32],
        clusters lists: [[Int32]],
        links: LinkTable? = nil
    ) throws(AnnexError) -> ScanLayout {
        let clusters = self.inParallel(lists.count) { self.cluster(lists[$0]) }
        func blocks(_ count: Int) -> Int { (count + ScanShape.blockItems - 1) / ScanShape.blockItems }
        let headBlocks = blocks(head.count)
        var first = headBlocks
        let starts = clusters.map { cluster in
            defer { first += blocks(cluster.members.count) }
            return first
        }
        let shape = ScanShape(
            metric: self.metric,
            rows: self.vectors.rows,
            dimension: self.vectors.dimension,
            blocks: first,
            headBlocks: headBlocks,
            clusters: clusters.count,
            arrangement: links.map { .graph(links: $0.links.count) } ?? .blocks
        )
        guard shape.isPossible else {
            throw AnnexError(.limit, "\(clusters.count) clusters are too many", hint: "Take a kind with fewer lists")
        }
        return unsafe try ScanLayout.make(shape) { memory, offsets throws(AnnexError) in
            let target = unsafe ScanTarget(memory: memory, offsets: offsets, shape: shape)
            unsafe target.writeHeader(starts: starts, center: self.center)
            if let links { unsafe target.setLinks(links) }
            _ = self.inParallel((headBlocks + 255) / 256) { part in
                unsafe self.fillHead(head, part * 256..<min((part + 1) * 256, headBlocks), target)
            }
            unsafe target.boundHead()
            _ = self.inParallel(clusters.count) { number in
                unsafe self.fill(clusters[number], number: number, firstBlock: starts[number], target)
            }
        }
    }

    /// Returns the factor of a row: 1 / norm on cosine, which makes it a unit vector, else 1.
    private static func scale(_ vectors: VectorFile, _ row: Int, _ metric: Metric) -> Float {
        let norm = vectors.norm(row)
        return metric == .cosine && norm > 0 ? 1 / norm : 1
    }

    /// Writes the row as the metric has it: normalised on cosine; zeros where there is no bound.
    private func row(_ ordinal: Int32, into out: inout [Float]) {
        guard self.vectors.isBounded(Int(ordinal)) else {
            for index in out.indices { out[index] = 0 }
            return
        }
        let scale = Self.scale(self.vectors, Int(ordinal), self.metric)
        self.vectors.withRow(Int(ordinal)) { values in
            for index in values.indices { out[index] = values[index] * scale }
        }
    }

    /// Makes a cluster, whose direction is the mean of its members at unit length. O(members × dimension).
    private func cluster(_ members: [Int32]) -> Cluster {
        let dimension = self.vectors.dimension
        var row = [Float](repeating: 0, count: dimension)
        var sums = [Double](repeating: 0, count: dimension)
        for ordinal in members {
            self.row(ordinal, into: &row)
            for index in 0..<dimension { sums[index] += Double(row[index]) }
        }
        let length = sums.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let direction = sums.map { Float(length > 0 ? $0 / length : 0) }
        // The square is not quite 1: the direction was rounded, and |x|² − (x·d)² would take that for a part of x.
        let squareOfDirection = direction.reduce(0.0) { $0 + Double($1) * Double($1) }
        var parts: [(ordinal: Int32, along: Double, across: Double, key: Float)] = []
        parts.reserveCapacity(members.count)
        for ordinal in members {
            guard self.vectors.isBounded(Int(ordinal)) else {
                parts.append((ordinal, .infinity, .infinity, .infinity))
                continue
            }
            self.row(ordinal, into: &row)
            var along: Double = 0
            var square: Double = 0
            for index in 0..<dimension {
                along += Double(row[index]) * Double(direction[index])
                square += Double(row[index]) * Double(row[index])
            }
            let share = squareOfDirection > 0 ? along / squareOfDirection : 0
            var across: Double = 0
            for index in 0..<dimension {
                let rest = Double(row[index]) - share * Double(direction[index])
                across += rest * rest
            }
            let key = self.metric == .ip ? Float(square.squareRoot()) : Float(along)
            parts.append((ordinal, along, across.squareRoot(), key))
        }
        parts.sort { ($0.key, $1.ordinal) > ($1.key, $0.ordinal) }
        return Cluster(
            members: parts.map(\.ordinal),
            direction: direction,
            along: parts.map(\.along),
            across: parts.map(\.across)
        )
    }

    private func fillHead(_ head: [Int32], _ blocks: Range<Int>, _ target: ScanTarget) {
        for block in blocks {
            let items = head[block * ScanShape.blockItems..<min((block + 1) * ScanShape.blockItems, head.count)]
            unsafe self.encode(items, block, target)
        }
    }

    private func fill(_ cluster: Cluster, number: Int, firstBlock: Int, _ target: ScanTarget) {
        unsafe target.setDirection(number, cluster.direction, center: self.center)
        let blocks = (cluster.members.count + ScanShape.blockItems - 1) / ScanShape.blockItems
        var along = -Double.infinity
        var across: Double = 0
        var least = Double.infinity
        for block in (0..<blocks).reversed() {
            let range = block * ScanShape.blockItems..<min((block + 1) * ScanShape.blockItems, cluster.members.count)
            unsafe self.encode(cluster.members[range], firstBlock + block, target)
            for member in range {
                along = max(along, cluster.along[member])
                across = max(across, cluster.across[member])
                least = min(least, cluster.along[member].isFinite ? cluster.along[member] : -.infinity)
            }
            unsafe target.setBounds(
                firstBlock + block,
                along: along.roundedUp,
                across: across.roundedUp,
                leastAlong: least.roundedDown
            )
        }
    }

    /// Writes codes, scales, biases and ordinals of up to 32 items, and their largest norm and error.
    private func encode(_ items: ArraySlice<Int32>, _ block: Int, _ target: ScanTarget) {
        var row = [Float](repeating: 0, count: self.vectors.dimension)
        var codes = [Int8](repeating: 0, count: row.count)
        var largestNorm: Float = 0
        var largestError: Float = 0
        for lane in 0..<ScanShape.blockItems {
            guard lane < items.count else {
                unsafe target.setPadding(block, lane)
                continue
            }
            let ordinal = items[items.startIndex + lane]
            let code: RowCode
            if self.vectors.isBounded(Int(ordinal)) {
                self.row(ordinal, into: &row)
                for index in self.center.indices { row[index] -= self.center[index] }
                code = RowCode(row, &codes)
            } else {
                code = RowCode(unboundedOf: row.count, &codes)
            }
            unsafe target.set(block, lane, ordinal: ordinal, code, codes)
            largestNorm = max(largestNorm, code.norm)
            largestError = max(largestError, code.error)
        }
        unsafe target.setLargest(block, norm: largestNorm, error: largestError)
    }

    private func inParallel<R: Sendable>(_ count: Int, _ body: @Sendable (Int) -> R) -> [R] {
        Parallel.map(count, workers: self.workers, body)
    }
}
