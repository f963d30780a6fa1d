import AnnexCore
import AnnexIndex
import AnnexLinearAlgebra

/// Holds the exact top k of each query.
struct RecallTruth: Sendable {
    /// The truth of so many queries is computed a second time, by matrix products of OpenBLAS over the float32 rows,
    /// and by every candidate that did not compute it itself.
    static let checkedQueries = 256

    /// Lists the k best items of each query, best first, one query after the other.
    let ordinals: [Int32]
    /// Holds the score of the last of them for each query. An answer that scores as well is right, whichever of equal
    /// items it is.
    let lastScores: [Float]
    /// It is min(k, items).
    let k: Int
    /// The cost of finding it: items read by a query, on average; nil where FAISS searched.
    let itemsRead: Double?
    /// The searcher's answers with their times, where nothing was left out.
    let answers: [QueryRun.Answer]
    private let metric: Metric

    /// Asks the exact search, which rules items out by bounds only, and compares it with a plain scan by another library
    /// on some queries: a build whose yardstick is wrong must not be published.
    ///
    /// - Throws: `.system` where the two differ; `.usage` where nothing is left to find.
    init(
        _ queries: HeldOutQueries,
        k wanted: Int,
        searcher: Searcher,
        vectors: VectorFile,
        metric: Metric,
        threads: Int,
        excluding: QueryRun.Exclusion = .nothing,
        progress: (Double) -> Void
    ) throws(AnnexError) {
        var k = min(wanted, vectors.rows)
        switch excluding {
        case .random(let count), .ownTop(let count):
            guard count < vectors.rows else {
                throw AnnexError(
                    .usage,
                    "leaving out \(count) items of \(vectors.rows) leaves none",
                    hint: "Leave out at most \(vectors.rows - 1)"
                )
            }
            k = min(k, vectors.rows - count)
        case .nothing, .given: break
        }
        self.metric = metric
        let answers = try QueryRun.all(
            queries,
            searcher: searcher,
            rows: vectors.rows,
            k: k,
            effort: .exact,
            threads: threads,
            excluding: excluding,
            progress: progress
        )
        try Self.checkCounts(answers, k)
        self.k = k
        self.ordinals = answers.flatMap { $0.hits.map(\.ordinal) }
        self.lastScores = answers.map { $0.hits[k - 1].score }
        self.itemsRead = QueryRun.itemsRead(answers)
        guard case .nothing = excluding else {
            self.answers = []
            return
        }
        self.answers = answers
        try self.check(queries, vectors, metric, threads)
    }

    /// - Throws: `.system` where a query has fewer than k answers: everything here counts on k.
    private static func checkCounts(_ answers: [QueryRun.Answer], _ k: Int) throws(AnnexError) {
        guard let number = answers.firstIndex(where: { $0.hits.count != k }) else { return }
        throw AnnexError(
            .system,
            "the exact search gave \(answers[number].hits.count) of \(k) answers to held-out query \(number)",
            hint: "Nothing was published. Please report this with the recipe"
        )
    }

    private init(ordinals: [Int32], lastScores: [Float], k: Int, itemsRead: Double?, metric: Metric) {
        (self.ordinals, self.lastScores, self.k) = (ordinals, lastScores, k)
        (self.itemsRead, self.metric, self.answers) = (itemsRead, metric, [])
    }

    /// Asks another index's exact search some of the same queries: exact means the same items from each.
    ///
    /// - Throws: `.system` where one differs.
    func confirm(
        _ queries: HeldOutQueries,
        by searcher: Searcher,
        rows: Int,
        threads: Int
    ) throws(AnnexError) {
        let answers = try QueryRun.all(
            queries.prefix(Self.checkedQueries),
            searcher: searcher,
            rows: rows,
            k: self.k,
            effort: .exact,
            threads: threads
        )
        for (number, answer) in answers.enumerated() {
            let expected = self.ordinals[number * self.k..<(number + 1) * self.k]
            guard answer.hits.map(\.ordinal) == Array(expected) else {
                throw AnnexError(
                    .system,
                    "the exact searches of two indexes differ on held-out query \(number)",
                    hint: "Nothing was published. Please report this with the recipe"
                )
            }
        }
    }

    /// Returns the best `count` of each query, and what is best once they are left out. `count` is below k.
    func leavingOut(_ count: Int) -> (leftOut: [Int32], truth: RecallTruth) {
        var leftOut: [Int32] = []
        var rest: [Int32] = []
        for first in stride(from: 0, to: self.ordinals.count, by: self.k) {
            leftOut += self.ordinals[first..<first + count]
            rest += self.ordinals[first + count..<first + self.k]
        }
        let truth = RecallTruth(
            ordinals: rest,
            lastScores: self.lastScores,
            k: self.k - count,
            itemsRead: self.itemsRead,
            metric: self.metric
        )
        return (leftOut, truth)
    }

    /// Returns the recall of each query: the share of its answers that score no worse than the k-th best item does.
    func recalls(of answers: [QueryRun.Answer]) -> [Double] {
        zip(answers, self.lastScores).map { answer, last in
            Double(answer.hits.count { !self.metric.isBetter(last, than: $0.score) }) / Double(self.k)
        }
    }

    /// Counts the items in the exact top k of at least one query that no query got: a mean recall hides them.
    func neverReturned(by answers: [QueryRun.Answer]) -> Int {
        var returned = Set<Int32>()
        for answer in answers { for hit in answer.hits { returned.insert(hit.ordinal) } }
        return Set(self.ordinals).subtracting(returned).count
    }

    private func check(
        _ queries: HeldOutQueries,
        _ vectors: VectorFile,
        _ metric: Metric,
        _ threads: Int
    ) throws(AnnexError) {
        let count = min(queries.count, Self.checkedQueries)
        let checked = queries.prefix(count)
        let hits = vectors.withRows { rows in
            vectors.withNorms { norms in
                ExactSearch.top(
                    k: self.k,
                    queries: checked.vectors.span,
                    queryCount: count,
                    rows: rows,
                    rowCount: vectors.rows,
                    stride: vectors.stride,
                    dimension: queries.dimension,
                    norms: norms,
                    metric: metric,
                    threads: threads,
                    progress: { _ in }
                )
            }
        }
        for number in 0..<count {
            let missed = try queries.withQuery(number) { query, norm throws(AnnexError) in
                hits[number * self.k..<(number + 1) * self.k].count { hit in
                    let score = vectors.score(query, queryNorm: norm, hit.ordinal, metric)
                    return metric.isBetter(score, than: self.lastScores[number])
                        && !self.ordinals[number * self.k..<(number + 1) * self.k].contains(hit.ordinal)
                }
            }
            guard missed == 0 else {
                throw AnnexError(
                    .system,
                    "the exact search missed \(missed) items of held-out query \(number) that a plain scan finds",
                    hint: "Nothing was published. Please report this with the recipe"
                )
            }
        }
    }
}
