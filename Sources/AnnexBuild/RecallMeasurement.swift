import AnnexCore
import AnnexIndex
import AnnexLinearAlgebra
import Dispatch
import Foundation

/// Queries that took no part in the build, and how well the index answers them.
struct RecallMeasurement {
    static let maximumQueries = 10_000
    static let k = 10
    /// What queries there are: a sample of users, or items that were moved a little.
    static let kinds = ["users", "items with noise"]

    /// What the table calls the search parameter of a kind.
    static func knob(_ kind: IndexKind) -> String { kind.knob?.rawValue ?? "exact" }

    /// `count` × dimension floats.
    let queries: [Float]
    let count: Int
    /// `users`, or `items with noise`.
    let kind: String

    /// A sample of the rows of a file, as it is.
    static func users(_ file: VectorFile, seed: UInt64) -> RecallMeasurement {
        Self.sample(file, seed: seed, noise: 0, kind: Self.kinds[0])
    }

    /// A sample of the items, each moved by a tenth of its length in a random direction, so that it does not find just
    /// itself.
    static func items(_ file: VectorFile, seed: UInt64) -> RecallMeasurement {
        Self.sample(file, seed: seed, noise: 0.1, kind: Self.kinds[1])
    }

    private static func sample(_ file: VectorFile, seed: UInt64, noise: Float, kind: String) -> RecallMeasurement {
        var random = SeededRandom(seed: seed ^ 0x5eed_0f_9e47)
        var wanted = min(Self.maximumQueries, file.rows)
        var queries: [Float] = []
        for row in 0..<file.rows where wanted > 0 {
            guard random.below(file.rows - row) < wanted else { continue }
            wanted -= 1
            let scale = noise * file.norm(row) / Float(file.dimension).squareRoot()
            file.withRow(row) { values in
                for value in values { queries.append(value + (noise > 0 ? scale * random.normal() : 0)) }
            }
        }
        return RecallMeasurement(queries: queries, count: queries.count / file.dimension, kind: kind)
    }

    struct Outcome {
        var measured: Manifest.Measured
        /// Mean microseconds per query, one thread, in the order of the table.
        var micros: [Double]
    }

    /// Climbs the ladder until the lower bound on the first half reaches `target`, then reports the second half.
    ///
    /// The bound is the normal one over the queries' recalls, one-sided: mean − 1.645 × standard error. On a half where
    /// every query found everything it is 1, however few queries there are.
    /// - Throws: `.recall` with the table where no step reaches it.
    func run(
        index: VectorIndex,
        vectors: VectorFile,
        target: Double,
        threads: Int,
        progress: (Double) -> Void
    ) throws(AnnexError) -> Outcome {
        let truth = self.exactScores(vectors: vectors, metric: index.metric, threads: threads) { progress($0 * 0.5) }
        var table: [Manifest.OperatingPoint] = []
        var micros: [Double] = []
        let ladder = Self.ladder(index.kind, rows: vectors.rows)
        for (step, value) in ladder.enumerated() {
            let effort = Self.effort(index.kind, value)
            let (recalls, nanos) = try self.recalls(
                index: index,
                vectors: vectors,
                effort: effort,
                truth: truth,
                threads: threads
            )
            let choosing = recalls.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
            let reporting =
                self.count > 1 ? recalls.enumerated().filter { $0.offset % 2 == 1 }.map(\.element) : choosing
            let point = Manifest.OperatingPoint(
                knob: Self.knob(index.kind),
                value: value,
                recall: Self.rounded(Self.mean(choosing)),
                recallLowerBound: Self.rounded(Self.lowerBound(choosing)),
                worst: Self.rounded(choosing.min() ?? 0)
            )
            table.append(point)
            micros.append(nanos / 1_000 / Double(self.count))
            progress(0.5 + 0.5 * Double(step + 1) / Double(ladder.count))
            guard point.recallLowerBound >= target else { continue }
            return Outcome(
                measured: Manifest.Measured(
                    queries: self.kind,
                    queryCount: self.count,
                    target: target,
                    chosen: point,
                    reportedRecall: Self.rounded(Self.mean(reporting)),
                    reportedWorst: Self.rounded(reporting.min() ?? 0),
                    table: table,
                    unreachableItems: index.unreachableCount()
                ),
                micros: micros
            )
        }
        throw AnnexError(
            .recall,
            "recall@10 does not reach \(target):\n" + Self.text(table),
            hint: "Take another index kind, more lists or links, or a lower --recall"
        )
    }

    static func text(_ table: [Manifest.OperatingPoint]) -> String {
        table.map {
            "  \($0.knob) \($0.value): recall \($0.recall), lower bound \($0.recallLowerBound), worst query \($0.worst)"
        }
        .joined(separator: "\n")
    }

    /// Ascending; the last step of an inverted file reads every list, or as many as a query may.
    static func ladder(_ kind: IndexKind, rows: Int) -> [Int] {
        switch kind.family {
        case .flat: [0]
        case .hnsw:
            [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1_024, 2_048, 4_096].filter { $0 <= max(16, rows) }
        case .ivf(let lists):
            (0...20).map { 1 << $0 }.filter { $0 < min(lists, Limits.maximumNprobe) } + [
                min(lists, Limits.maximumNprobe)
            ]
        }
    }

    private static func effort(_ kind: IndexKind, _ value: Int) -> SearchEffort {
        switch kind.knob {
        case .efSearch: .efSearch(value)
        case .nprobe: .nprobe(value)
        case nil: .exact
        }
    }

    // MARK: The truth

    /// Each query's score of the k-th best item, by the serving kernel: an answer that scores as well is right, which
    /// item of equal ones it may be.
    private func exactScores(vectors: VectorFile, metric: Metric, threads: Int, progress: (Double) -> Void) -> [Float] {
        let k = min(Self.k, vectors.rows)
        let dimension = vectors.dimension
        let hits = self.queries.withUnsafeBufferPointer { queries in
            vectors.withRows { rows in
                vectors.withNorms { norms in
                    ExactSearch.top(
                        k: k,
                        queries: queries,
                        queryCount: self.count,
                        rows: rows,
                        rowCount: vectors.rows,
                        stride: vectors.stride,
                        dimension: dimension,
                        norms: norms,
                        metric: metric,
                        threads: threads,
                        progress: progress
                    )
                }
            }
        }
        return self.queries.withUnsafeBufferPointer { queries in
            (0..<self.count).map { query in
                let vector = UnsafeBufferPointer(rebasing: queries[query * dimension..<(query + 1) * dimension])
                let norm = Self.norm(vector)
                let scores = hits[query * k..<(query + 1) * k].map {
                    vectors.score(vector, queryNorm: norm, $0.ordinal, metric)
                }
                return scores.reduce(scores[0]) { metric.isBetter($0, than: $1) ? $1 : $0 }
            }
        }
    }

    private static func norm(_ vector: UnsafeBufferPointer<Float>) -> Float {
        Float(vector.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot())
    }

    // MARK: The index's answers

    /// Recall of each query, and the sum of their times in nanoseconds.
    private func recalls(
        index: VectorIndex,
        vectors: VectorFile,
        effort: SearchEffort,
        truth: [Float],
        threads: Int
    ) throws(AnnexError) -> ([Double], Double) {
        let workers = max(1, min(threads, self.count))
        let share = (self.count + workers - 1) / workers
        let results = ResultBox(workers)
        DispatchQueue.concurrentPerform(iterations: workers) { worker in
            let range = min(worker * share, self.count)..<min((worker + 1) * share, self.count)
            do throws(AnnexError) {
                results.set(worker, .success(try self.work(range, index, vectors, effort, truth)))
            } catch {
                results.set(worker, .failure(error))
            }
        }
        var recalls: [Double] = []
        var nanos: Double = 0
        for result in results.all {
            let part = try result.get()
            recalls += part.recalls
            nanos += part.nanos
        }
        return (recalls, nanos)
    }

    struct Part: Sendable {
        var recalls: [Double] = []
        var nanos: Double = 0
    }

    private func work(
        _ range: Range<Int>,
        _ index: VectorIndex,
        _ vectors: VectorFile,
        _ effort: SearchEffort,
        _ truth: [Float]
    ) throws(AnnexError) -> Part {
        let searcher = Searcher(index: index, vectors: vectors, metric: index.metric)
        let exclusion = ExclusionMarks(rows: vectors.rows)
        var scratch = SearchScratch()
        var hits: [Hit] = []
        var part = Part()
        let k = min(Self.k, vectors.rows)
        for query in range {
            let vector = Array(self.queries[query * vectors.dimension..<(query + 1) * vectors.dimension])
            let norm = vector.withUnsafeBufferPointer { Self.norm($0) }
            let begin = DispatchTime.now().uptimeNanoseconds
            do {
                _ = try vector.withUnsafeBufferPointer {
                    try searcher.search(
                        query: $0,
                        queryNorm: norm,
                        k: k,
                        effort: effort,
                        exclusion: exclusion,
                        scratch: &scratch,
                        hits: &hits
                    )
                }
            } catch let error as AnnexError {
                throw error
            } catch {
                throw AnnexError(.system, "search failed: \(error)")
            }
            part.nanos += Double(DispatchTime.now().uptimeNanoseconds - begin)
            let right = hits.count { !index.metric.isBetter(truth[query], than: $0.score) }
            part.recalls.append(Double(right) / Double(k))
        }
        return part
    }

    // MARK: Statistics

    private static func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(max(1, values.count)) }

    /// One-sided 95 %: mean − 1.645 × standard error over the queries.
    private static func lowerBound(_ values: [Double]) -> Double {
        guard values.count > 1 else { return values.first ?? 0 }
        let mean = Self.mean(values)
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)
        return mean - 1.645 * (variance / Double(values.count)).squareRoot()
    }

    private static func rounded(_ value: Double) -> Double { (value * 1e6).rounded(.down) / 1e6 }
}

/// Where workers leave their results.
private final class ResultBox: Sendable {
    private let lock = NSLock()
    nonisolated(unsafe) private var results: [Result<RecallMeasurement.Part, AnnexError>]

    init(_ count: Int) { self.results = Array(repeating: .success(RecallMeasurement.Part()), count: count) }

    func set(_ place: Int, _ result: Result<RecallMeasurement.Part, AnnexError>) {
        self.lock.withLock { self.results[place] = result }
    }

    var all: [Result<RecallMeasurement.Part, AnnexError>] { self.lock.withLock { self.results } }
}

extension SeededRandom {
    /// Of the standard normal distribution (sum of 12 uniforms).
    fileprivate mutating func normal() -> Float {
        var sum: Float = -6
        for _ in 0..<12 { sum += Float.random(in: 0..<1, using: &self) }
        return sum
    }
}
