package import AnnexCore
package import AnnexIndex
import AnnexStore
import Synchronization

/// Holds one thread's view of one version: readers, scratch memory, the query vector and the last answer.
///
/// It is made once per thread and version, and a query allocates nothing. It is not thread-safe: it belongs to one
/// event loop, or to one piece of work that borrowed it. Each `@exclusivity(unchecked)` rests on that: run-time checks
/// of exclusive access would cost on every query, and one thread at a time calls functions that do not call back into
/// the context.
package final class QueryContext {
    /// Whoever uses a context holds the version as well: a context that held it would keep the version that it lies in, idle.
    package unowned(safe) let version: ServedVersion
    /// Hits stand best first, and are valid until the next search.
    @safe @exclusivity(unchecked) package internal(set) var hits: [Hit] = []

    let live: UserResolver
    private let items: CatalogueReader
    let catalogue: Catalogue
    private let searcher: Searcher
    let metric: Metric
    /// Counts components of a vector as clients see it; the query of a biased model has one more.
    private let dimension: Int
    @safe @exclusivity(unchecked) var query: [Float]
    @safe @exclusivity(unchecked) private(set) var queryNorm: Float = 0
    /// Holds the constant that is added to every score of the query: see `ModelBias`.
    @safe @exclusivity(unchecked) var constant: Float = 0
    @safe @exclusivity(unchecked) private var scratch = SearchScratch()
    /// Held, as the last contexts end while their version does.
    private let contexts: ContextCount
    /// Items are marked here for the present query; `marks` says whether they count.
    @safe @exclusivity(unchecked) private(set) var exclusion: ExclusionMarks
    /// Counts items whose codes or vectors its searches have read, in all: what they cost, without a clock.
    @safe @exclusivity(unchecked) package private(set) var itemsRead = 0
    /// Searches so far, of those that keep to a budget.
    @safe @exclusivity(unchecked) private var searches = 0
    /// Ends long work; nil on an event loop. Of whoever has borrowed the context.
    @safe @exclusivity(unchecked) var stop: StopSignal?
    /// Uses these marks as they are; nil: those of `exclusion`.
    @safe @exclusivity(unchecked) private var markedUser: ResolvedUser?

    package init(_ version: ServedVersion) throws(AnnexError) {
        self.version = version
        self.contexts = version.contexts
        self.catalogue = version.catalogue
        self.items = try version.catalogue.makeReader()
        self.live = try UserResolver(version.users, version.catalogue, self.items)
        self.metric = version.description.metric
        self.dimension = version.description.dimension
        self.searcher = version.catalogue.makeSearcher(version.index, version.layout, version.description.metric)
        self.query = [Float](repeating: 0, count: version.description.storedDimension)
        self.exclusion = ExclusionMarks(rows: version.description.itemCount)
        self.hits.reserveCapacity(256)
        self.exclusion.begin()
        version.contexts.count.add(1, ordering: .relaxed)
    }

    deinit { self.contexts.count.subtract(1, ordering: .relaxed) }

    /// Estimates the most bytes that one context keeps between queries: users, marks, and what solves for vectors.
    static func mostBytes(_ version: VersionDescription) -> Int {
        let dimension = version.storedDimension
        let solver = version.foldIn == nil ? 0 : dimension * (dimension + 257) * 2 * MemoryLayout<Double>.stride
        return ResolvedUserTable.limitBytes + version.itemCount / 4 + solver + 4 << 20
    }

    // MARK: The query vector

    /// Makes the row of an item of this version the query. Nothing is left out.
    package func useItem(_ ordinal: Int32) {
        self.beginExclusions()
        self.catalogue.withRow(ordinal) { self.query.overwrite(with: $0) }
        self.takeNoBias()
        self.measureNorm()
    }

    /// Makes a client's vector, given component by component, the query. Returns nil where it was taken. Nothing is
    /// left out.
    package func useVector(count: Int, _ component: (Int) -> Float?) -> VectorProblem? {
        self.beginExclusions()
        guard count == self.dimension else { return .length(count) }
        for index in 0..<count {
            guard let value = component(index), value.isFinite else { return .notFinite(position: index) }
            self.query[index] = value
        }
        // A vector of zeros is as near to everything, on each metric.
        if let reason = VectorLength.problem(self.length(of: count), metric: .ip) { return .unscorable(reason) }
        self.takeNoBias()
        self.measureNorm()
        return nil
    }

    /// Returns the length of the query's first components, computed in float64.
    private func length(of count: Int) -> Double {
        var sum: Double = 0
        for index in 0..<count { sum += Double(self.query[index]) * Double(self.query[index]) }
        return sum.squareRoot()
    }

    func measureNorm() {
        var sum: Double = 0
        for value in self.query { sum += Double(value) * Double(value) }
        self.queryNorm = Float(sum.squareRoot())
    }

    /// Lends the query vector. `Array.span` of a class's property cannot be handed on, so the span is made by hand: it lives as
    /// long as the buffer, until `body` returns.
    private func withQuery<R, Failure>(_ body: (Span<Float>) throws(Failure) -> R) throws(Failure) -> R {
        unsafe try self.query.withUnsafeBufferPointer { buffer throws(Failure) in
            try body(unsafe Span(_unsafeElements: buffer))
        }
    }

    /// Tells whether every product with the query is zero.
    var queryIsZero: Bool { self.queryNorm == 0 }

    // MARK: Exclusions

    /// Forgets the last query's exclusions. O(1).
    func beginExclusions() {
        self.exclusion.begin()
        self.markedUser = nil
    }

    func exclude(_ ordinal: Int32) { self.exclusion.mark(ordinal) }

    /// Leaves out what a user has seen.
    func exclude(seenBy user: ResolvedUser) {
        if user.marks != nil, self.exclusion.count == 0 {
            self.markedUser = user
        } else {
            for ordinal in user.seen { self.exclusion.mark(ordinal) }
        }
    }

    /// Marks of the items that the present query leaves out.
    var marks: ExclusionMarks { self.markedUser?.marks ?? self.exclusion }

    // MARK: Searching

    /// Fills `hits` with the best min(k, items not excluded), best first, equal scores in the order of ids.
    ///
    /// - Parameter limit: how far it may go; where that is too short the report says so, and there are no hits.
    /// - Throws: `.timeout` where the work was told to stop.
    package func search(k: Int, effort: SearchEffort, limit: SearchLimit = .none) throws(AnnexError) -> SearchReport {
        guard self.constant == 0 else { return try self.searchWithConstant(k: k, effort: effort, limit: limit) }
        return try self.searchRows(k: k, effort: effort, limit: limit)
    }

    /// Searches without the constant of a biased model's user.
    func searchRows(k: Int, effort: SearchEffort, limit: SearchLimit) throws(AnnexError) -> SearchReport {
        var limit = limit
        limit.stop = self.stop
        let report = try self.withQuery { query throws(AnnexError) in
            try self.searcher.search(
                query: query,
                queryNorm: self.queryNorm,
                k: k,
                effort: effort,
                exclusion: self.marks,
                limit: limit,
                scratch: &self.scratch,
                hits: &self.hits
            )
        }
        self.itemsRead &+= report.read ?? 0
        if report.isUnfinished { try self.checkStop() }
        return report
    }

    /// Searches where that fits a budget, by the estimate and by what searches of this version really took. False, without
    /// hits, where it does not: somebody with more time has to search.
    ///
    /// - Parameter nanos: what `WorkEstimate` says of the search.
    func search(k: Int, effort: SearchEffort, nanos: Double, budgetNanos: Double) throws(AnnexError) -> Bool {
        let times = self.version.searchTimes
        guard nanos * (times?.ratio(k: k) ?? 1) <= budgetNanos else { return false }
        let limit = WorkEstimate.limit(nanos: budgetNanos, k: k, in: self.version.description)
        self.searches &+= 1
        // The first ones of a context as well: a server that has just started learns from them.
        let isTimed = self.searches % SearchTimes.sampling == 0 || self.searches <= SearchTimes.firstTimed
        guard isTimed, let times else { return try !self.search(k: k, effort: effort, limit: limit).isUnfinished }
        let began = ThreadClock.nanoseconds()
        let report = try self.search(k: k, effort: effort, limit: limit)
        // One client's odd vector, which makes a search read everything, must not send everybody's searches away: how far a
        // search may read on a loop is limited apart from its time.
        let most = WorkEstimate.limit(nanos: WorkEstimate.loopBudgetNanos, k: 0, in: self.version.description)
        if report.read ?? 0 <= most.rows {
            times.record(ThreadClock.nanoseconds() - began, estimate: nanos, k: k)
        }
        return !report.isUnfinished
    }

    func countRead(_ items: Int) { self.itemsRead &+= items }

    /// Ends what nobody waits for any more. Nothing on an event loop; on a worker a load and a look at the clock.
    ///
    /// - Throws: `.timeout`; whoever gave the signal says so to the client.
    package func checkStop() throws(AnnexError) {
        guard self.stop?.shouldStop() ?? false else { return }
        throw AnnexError(.timeout, "the work was stopped, as nobody waits for it any more")
    }

    /// Returns the exact float32 score of one item.
    package func score(_ ordinal: Int32) -> Float {
        self.withQuery { self.catalogue.score($0, queryNorm: self.queryNorm, ordinal, self.metric) } + self.constant
    }

    /// Lends the exact float32 scores of items with ordinals in a range; `VectorFile.forEachScore` tells the cost.
    func forEachScore(of ordinals: Range<Int>, _ body: (Int32, Float) -> Void) {
        let (norm, constant) = (self.queryNorm, self.constant)
        self.withQuery { query in
            self.catalogue.forEachScore(query, queryNorm: norm, of: ordinals, self.metric) { ordinal, score in
                body(ordinal, score + constant)
            }
        }
    }

    /// Answers that no search found.
    func setHits(_ hits: some Sequence<Hit>) {
        self.hits.removeAll(keepingCapacity: true)
        self.hits.append(contentsOf: hits)
    }

    /// Drops hits whose score does not satisfy `keep` from the tail on (hits are sorted).
    package func trimHits(while keep: (Float) -> Bool) {
        while let last = self.hits.last, !keep(last.score) { self.hits.removeLast() }
    }

    // MARK: Items

    package func ordinal(of id: Span<UInt8>) -> Int32? {
        Self.mayBeIdentifier(id) ? self.items.ordinal(of: id) : nil
    }

    /// Tells whether an id may be known at all. It is asked first: clients may send a megabyte where an id belongs,
    /// which takes as long to hash and compare as a search.
    static func mayBeIdentifier(_ id: Span<UInt8>) -> Bool {
        !id.isEmpty && id.count <= Identifier.maximumLength
    }

    package func withIdentifier(_ ordinal: Int32, _ body: (Span<UInt8>) -> Void) {
        self.catalogue.withIdentifier(ordinal, body)
    }

    /// Returns the attributes as JSON text; nil where the item has none.
    package func withAttributes(_ ordinal: Int32, _ body: (Span<UInt8>?) -> Void) {
        self.items.withAttributes(ordinal, body)
    }

    /// Tells whether the last component of the query stands for a bias.
    var isBiased: Bool { self.query.count > self.dimension }

    /// Returns the factors as given to the build, without the bias.
    package func withVector<R>(_ ordinal: Int32, _ body: (Span<Float>) -> R) -> R {
        self.catalogue.withRow(ordinal) { row in
            let factors = row.extracting(0..<self.dimension)
            return body(factors)
        }
    }
}

/// Counts the contexts that a version has.
final class ContextCount: Sendable {
    let count = Atomic<Int>(0)
}
