import AnnexCore
import AnnexIndex
import Dispatch
import Synchronization

/// Runs many queries at one effort, by several threads, and times each by itself.
package enum QueryRun {
    struct Answer: Sendable {
        var hits: [Hit]
        var nanos: Double
        /// The number of items read; nil where FAISS searched.
        var read: Int?
    }

    /// Says which items each query leaves out. Marking them is not timed.
    package enum Exclusion: Sendable {
        case nothing, random(Int), ownTop(Int)
        /// Query number n leaves out the ordinals n × each ..< (n + 1) × each of the list.
        case given([Int32], each: Int)
    }

    /// Items read by a query, on average; nil where FAISS searched.
    static func itemsRead(_ answers: [Answer]) -> Double? {
        let reads = answers.compactMap(\.read)
        return reads.count == answers.count ? Double(reads.reduce(0, +)) / Double(max(1, reads.count)) : nil
    }

    /// Returns the answers in the order of the queries. Blocks.
    ///
    /// - Parameter heedsMarks: false searches as if nothing were left out, though all is marked as ever: what is
    ///   marked between searches costs them cache lines, and only what has lost the same is comparable.
    static func all(
        _ queries: HeldOutQueries,
        searcher: Searcher,
        rows: Int,
        k: Int,
        effort: SearchEffort,
        threads: Int,
        excluding: Exclusion = .nothing,
        heedsMarks: Bool = true,
        progress: (Double) -> Void = { _ in }
    ) throws(AnnexError) -> [Answer] {
        // Queries are asked in rounds, so that progress shows.
        let step = max(1, (queries.count + 19) / 20)
        var answers: [Answer] = []
        var first = 0
        while first < queries.count {
            let round = first..<min(first + step, queries.count)
            answers += try Self.round(queries, round, searcher, rows, k, effort, threads, excluding, heedsMarks)
            first = round.upperBound
            progress(Double(first) / Double(queries.count))
        }
        return answers
    }

    private static func round(
        _ queries: HeldOutQueries,
        _ range: Range<Int>,
        _ searcher: Searcher,
        _ rows: Int,
        _ k: Int,
        _ effort: SearchEffort,
        _ threads: Int,
        _ excluding: Exclusion,
        _ heedsMarks: Bool
    ) throws(AnnexError) -> [Answer] {
        let workers = max(1, min(threads, range.count))
        let share = (range.count + workers - 1) / workers
        let results = Mutex([Result<[Answer], AnnexError>](repeating: .success([]), count: workers))
        DispatchQueue.concurrentPerform(iterations: workers) { worker in
            let low = min(range.lowerBound + worker * share, range.upperBound)
            let part = low..<min(low + share, range.upperBound)
            let result = Result { () throws(AnnexError) in
                try Self.work(queries, part, searcher, rows, k, effort, excluding, heedsMarks)
            }
            results.withLock { $0[worker] = result }
        }
        var answers: [Answer] = []
        for result in results.withLock({ $0 }) { answers += try result.get() }
        return answers
    }

    private static func work(
        _ queries: HeldOutQueries,
        _ range: Range<Int>,
        _ searcher: Searcher,
        _ rows: Int,
        _ k: Int,
        _ effort: SearchEffort,
        _ excluding: Exclusion,
        _ heedsMarks: Bool
    ) throws(AnnexError) -> [Answer] {
        let unmarked = ExclusionMarks(rows: rows)
        var scratch = SearchScratch()
        var hits: [Hit] = []
        var answers: [Answer] = []
        // Marks of several queries are set first: between two searches, marking would empty the caches of the second.
        var marks: [ExclusionMarks] = []
        for first in stride(from: range.lowerBound, to: range.upperBound, by: Self.batch) {
            let numbers = first..<min(first + Self.batch, range.upperBound)
            for number in numbers {
                if case .nothing = excluding, !marks.isEmpty { break }
                if marks.count <= number - first { marks.append(ExclusionMarks(rows: rows)) }
                try Self.mark(&marks[number - first], number, queries, searcher, rows, excluding, &scratch)
            }
            for number in numbers {
                let exclusion = heedsMarks ? marks[min(number - first, marks.count - 1)] : unmarked
                let (nanos, read) = try queries.withQuery(number) { query, norm throws(AnnexError) in
                    let begin = DispatchTime.now().uptimeNanoseconds
                    let report = try searcher.search(
                        query: query,
                        queryNorm: norm,
                        k: k,
                        effort: effort,
                        exclusion: exclusion,
                        scratch: &scratch,
                        hits: &hits
                    )
                    return (Double(DispatchTime.now().uptimeNanoseconds - begin), report.read)
                }
                answers.append(Answer(hits: hits, nanos: nanos, read: read))
            }
        }
        return answers
    }

    private static let batch = 16

    private static func mark(
        _ marks: inout ExclusionMarks,
        _ number: Int,
        _ queries: HeldOutQueries,
        _ searcher: Searcher,
        _ rows: Int,
        _ excluding: Exclusion,
        _ scratch: inout SearchScratch
    ) throws(AnnexError) {
        marks.begin()
        switch excluding {
        case .nothing: break
        case .random(let count):
            var random = SeededRandom(seed: UInt64(number))
            while marks.count < min(count, rows) { marks.mark(Int32(random.below(rows))) }
        case .ownTop(let count):
            var hits: [Hit] = []
            let none = marks
            _ = try queries.withQuery(number) { query, norm throws(AnnexError) in
                try searcher.search(
                    query: query,
                    queryNorm: norm,
                    k: min(count, rows),
                    effort: .exact,
                    exclusion: none,
                    scratch: &scratch,
                    hits: &hits
                )
            }
            for hit in hits { marks.mark(hit.ordinal) }
        case .given(let ordinals, let each):
            for ordinal in ordinals[number * each..<(number + 1) * each] { marks.mark(ordinal) }
        }
    }
}
