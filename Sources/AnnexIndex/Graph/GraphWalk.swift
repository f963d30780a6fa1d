import AnnexCore
import CFaissShim

/// Walks FAISS's HNSW graph (Malkov and Yashunin 2016). FAISS 1.7.3 keeps `efSearch` on the shared index and does not
/// heed it in a call, so that two queries would race for it.
///
/// It is the reference for the walk over codes (`CodeWalk.swift`), and serves versions made before that.
///
/// Distances are the exact float32 scores of `vectors.f32`, whatever the graph was built over, so a walk's results
/// need no rescoring. Items left out are walked over but not kept.
///
/// Unchecked because the arrays belong to `owner`, which does not change them.
@safe struct GraphWalk: @unchecked Sendable {
    private let owner: FaissHandle
    private let graph: CFaissShim_Graph

    init?(_ owner: FaissHandle) {
        guard let graph = unsafe owner.graph() else { return nil }
        self.owner = owner
        unsafe self.graph = graph
    }

    var maximumLevel: Int { unsafe Int(self.graph.maximumLevel) }

    /// Lends the links of an item on a level that it is on, up to the first that is empty.
    private func links(_ ordinal: Int32, _ level: Int) -> UnsafeBufferPointer<Int32> {
        let base = unsafe self.graph.offsets[Int(ordinal)]
        let begin = unsafe base + Int(self.graph.levelOffsets[level])
        let end = unsafe base + Int(self.graph.levelOffsets[level + 1])
        return unsafe UnsafeBufferPointer(start: self.graph.neighbours + begin, count: end - begin)
    }

    /// Returns the links of an item on the lowest level, the one that has all items.
    func lowestLinks(of ordinal: Int32) -> [Int32] { unsafe Array(self.links(ordinal, 0).prefix { $0 >= 0 }) }

    /// Returns the number of levels that an item is on.
    func levels(of ordinal: Int32) -> Int32 { unsafe self.graph.itemLevels[Int(ordinal)] }

    /// Returns the neighbours of an item, its top level first.
    func allLinks(of ordinal: Int32) -> [[Int32]] {
        let levels = unsafe Int(self.graph.itemLevels[Int(ordinal)])
        return (0..<levels).reversed().map { level in
            unsafe Array(self.links(ordinal, level).prefix { $0 >= 0 })
        }
    }

    /// Fills `scratch.pool` with the best min(ef, found) items.
    ///
    /// O((ef + items left out that are near) × links) scores. Nothing is allocated once the scratch memory has grown.
    ///
    /// - Returns: false where it reached its limit.
    func search(
        _ query: UnsafeBufferPointer<Float>,
        queryNorm: Float,
        ef: Int,
        vectors: VectorFile,
        metric: Metric,
        exclusion: borrowing ExclusionMarks,
        limit: SearchLimit,
        scratch: inout SearchScratch
    ) -> Bool {
        let sign: Float = metric.higherIsBetter ? 1 : -1
        let anyExcluded = exclusion.count > 0
        func gain(_ ordinal: Int32) -> Float {
            unsafe vectors.score(query, queryNorm: queryNorm, ordinal, metric) * sign
        }
        var start = unsafe Hit(ordinal: self.graph.entryPoint, score: gain(self.graph.entryPoint))
        for level in stride(from: self.maximumLevel, to: 0, by: -1) { self.descend(&start, level, gain) }
        scratch.beginPool(k: ef, metric: metric)
        scratch.visited.begin(rows: vectors.rows)
        scratch.frontier.removeAll()
        _ = scratch.visited.insert(start.ordinal)
        scratch.frontier.push(start)
        if !anyExcluded || !exclusion.contains(start.ordinal) {
            scratch.pool.offer(Hit(ordinal: start.ordinal, score: start.score * sign))
        }
        let most = limit.visits
        var nextLook = limit.stop == nil ? most : min(most, Self.visitsPerLook)
        while let best = scratch.frontier.pop() {
            if scratch.visited.count >= nextLook {
                if scratch.visited.count >= most || limit.stop?.shouldStop() ?? false { return false }
                nextLook = min(most, scratch.visited.count + Self.visitsPerLook)
            }
            if scratch.pool.isFull, best.score < scratch.pool.worstScore * sign { break }
            let links = unsafe self.links(best.ordinal, 0)
            for index in links.indices {
                let neighbour = unsafe links[index]
                guard neighbour >= 0 else { break }
                guard scratch.visited.insert(neighbour) else { continue }
                let score = gain(neighbour)
                if scratch.pool.isFull, score <= scratch.pool.worstScore * sign { continue }
                scratch.frontier.push(Hit(ordinal: neighbour, score: score))
                if anyExcluded, exclusion.contains(neighbour) { continue }
                scratch.pool.offer(Hit(ordinal: neighbour, score: score * sign))
            }
        }
        return true
    }

    /// Items between two looks at the signal.
    private static let visitsPerLook = 4_096

    /// Goes to the best neighbour until none is better.
    private func descend(_ start: inout Hit, _ level: Int, _ gain: (Int32) -> Float) {
        var moved = true
        while moved {
            moved = false
            let links = unsafe self.links(start.ordinal, level)
            for index in links.indices {
                let neighbour = unsafe links[index]
                guard neighbour >= 0 else { break }
                let score = gain(neighbour)
                if score > start.score {
                    start = Hit(ordinal: neighbour, score: score)
                    moved = true
                }
            }
        }
    }
}
