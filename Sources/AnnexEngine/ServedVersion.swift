package import AnnexCore
import AnnexIndex
package import AnnexLinearAlgebra
package import AnnexStore
import Glibc
package import Synchronization

/// Holds one loaded version. It is immutable, shared by all threads, and freed when its last query ends.
///
/// Every thread searches through a `QueryContext` of its own.
package final class ServedVersion: Sendable {
    package let description: VersionDescription
    let catalogue: Catalogue
    let users: KnownUsers
    /// Holds FAISS's index. It is nil where the scan layout is all that searches need.
    let index: VectorIndex?
    let layout: ScanLayout?
    /// Orders changes for all replicas; nil where the state alone does.
    package let log: (any ReplicatedLog)?
    /// Holds items for unknown users. It is nil where they get an error.
    let popular = Mutex<PopularItems?>(nil)
    /// Counts events and trained items that were read to count what is popular.
    package let popularityRead = Atomic<Int>(0)
    /// Counts queries that were answered with it.
    package let coldAnswers = Atomic<Int>(0)
    /// It is nil for a version that serves nobody: where its searches run follows from the estimate alone.
    let searchTimes: SearchTimes?
    /// Counts the contexts that there are, on loops, on worker threads and idle.
    let contexts = ContextCount()
    /// Contexts for work that leaves the event loops; taken and given back under the lock, a few times a second.
    private let idleContexts = Mutex<[QueryContext]>([])

    /// Loads a version whose files were verified before. Blocks: reads all of the index and the ids.
    ///
    /// - Parameters:
    ///   - state: of the index, the same for all its versions.
    ///   - log: of the state.
    ///   - timesSearches: whether what searches really take decides where the next ones run.
    /// - Throws: `AnnexError.damaged` where the parts contradict each other or the description.
    package init(
        loading description: VersionDescription,
        state: StateStore? = nil,
        log: (any ReplicatedLog)? = nil,
        timesSearches: Bool = false
    ) throws(AnnexError) {
        self.searchTimes = timesSearches ? SearchTimes() : nil
        let files = description.files
        self.description = description
        self.log = log
        self.catalogue = try Catalogue(description)
        self.users = try KnownUsers(description, state)
        self.totalBytes = description.totalBytes
        let hasAttributes = self.catalogue.attributesCount > 0
        self.bytesPerAttribute =
            hasAttributes ? Double(Self.size(of: files.items)) / Double(max(self.catalogue.attributesCount, 1)) : 0
        self.layout = try files.serving.map { path throws(AnnexError) in
            try ScanLayout.load(
                path: path,
                metric: description.metric,
                rows: description.itemCount,
                dimension: description.storedDimension
            )
        }
        if let layout, !layout.needsFaiss(description.kind) {
            self.index = nil
            return
        }
        self.index = try VectorIndex.load(
            path: files.index,
            kind: description.kind,
            metric: description.metric,
            dimension: description.storedDimension,
            rows: description.itemCount
        )
    }

    private static func size(of path: String) -> Int {
        var status = stat()
        return unsafe stat(path, &status) == 0 ? Int(status.st_size) : 0
    }

    /// Asks for the neighbours of some of its own items, so that a version that cannot answer is never served and the
    /// pages that a first query needs are in memory.
    ///
    /// - Throws: `AnnexError.damaged` where an exact search does not find what it must.
    package func warm() throws(AnnexError) {
        let context = try QueryContext(self)
        let count = self.description.itemCount
        for step in 0..<min(16, count) {
            let ordinal = Int32(step * (count / min(16, count)))
            context.useItem(ordinal)
            let report = try context.search(k: min(10, count), effort: self.description.defaultEffort.plain)
            guard context.hits.count == min(10, count), report.candidates >= 0,
                context.hits.allSatisfy({ $0.score.isFinite && $0.ordinal >= 0 && Int($0.ordinal) < count })
            else {
                throw AnnexError(
                    .damaged,
                    "a search for item \(ordinal)'s neighbours gave \(context.hits.count) answers",
                    at: self.description.files.index,
                    hint: "Build the version again, or roll back"
                )
            }
        }
        try self.timeSearches(context)
        self.giveBack(context)
    }

    /// Searches for more and more hits, so that the first clients' searches run where they fit. Takes some 100 ms at most.
    private func timeSearches(_ context: QueryContext) throws(AnnexError) {
        guard self.searchTimes != nil else { return }
        let effort = self.description.defaultEffort.plain
        for digits in 2...12 where 1 << digits <= self.description.itemCount {
            for step in 0..<2 {
                context.useItem(Int32(step * (self.description.itemCount / 2)))
                let k = 3 << (digits - 1)
                let nanos = WorkEstimate.nanos(of: effort, k: k, in: self.description)
                _ = try context.search(k: k, effort: effort, nanos: nanos, budgetNanos: .infinity)
            }
        }
    }

    /// Lends a context for one piece of work on any thread. Give it back when done.
    ///
    /// - Parameter stop: ends the work early; nil where nobody does.
    package func borrowContext(stop: StopSignal? = nil) throws(AnnexError) -> QueryContext {
        let idle = self.idleContexts.withLock({ UncheckedTransfer($0.popLast()) }).value
        let context = if let idle { idle } else { try QueryContext(self) }
        context.stop = stop
        return context
    }

    package func giveBack(_ context: QueryContext) {
        context.stop = nil
        let transfer = UncheckedTransfer(context)
        self.idleContexts.withLock { idle in
            if idle.count < 8 { idle.append(transfer.value) }
        }
    }

    /// Keeps what users did since; nil where nothing does.
    package var state: StateStore? { self.users.state }

    /// Solves for users' vectors from histories; nil where the version does not say how.
    package var foldIn: FoldInModel? { self.users.foldIn }

    /// Returns the neighbours of an item, top level first; nil without a graph. A graph that is walked over codes has
    /// one level.
    package func links(of ordinal: Int32) -> [[Int32]]? {
        self.layout?.links(of: ordinal).map { [$0] } ?? self.index?.links(of: ordinal)
    }

    /// Returns the highest level of the graph. It is nil where there is none.
    package var maximumLevel: Int? { self.layout?.isGraph == true ? 0 : self.index?.maximumLevel }

    /// Counts bytes of an item's attributes on average, from above: the size of the file that has them, ids and all.
    package let bytesPerAttribute: Double

    /// Counts items that have attributes.
    package var attributesCount: Int { self.catalogue.attributesCount }

    /// Counts bytes of heap that this version holds, by part; mapped files (`vectors.f32`, LMDB) are not counted.
    package var heapBytes: Int { self.catalogue.heapBytes + (self.layout?.byteCount ?? 0) }

    /// Counts bytes of the scan layout; 0 without one.
    package var layoutBytes: Int { self.layout?.byteCount ?? 0 }

    /// Counts the bytes of all its files.
    package let totalBytes: Int
}

/// Carries a context across the lock. Safe because a context is in the list or with one borrower, never both.
private struct UncheckedTransfer<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}
