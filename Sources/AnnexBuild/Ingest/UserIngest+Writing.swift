import AnnexCore
import AnnexIndex
import AnnexLinearAlgebra
import AnnexStore
import Foundation

extension UserIngest {
    struct Outcome {
        /// Counts the users with a vector.
        var users = 0
        /// Counts the users with a history, and the different items in them all.
        var histories = 0
        var interactions = 0
        var foldIn: Manifest.FoldIn?
        /// Holds a sample of the vectors that are served. It is nil without any.
        var queries: HeldOutQueries?
    }

    private static let servedFile = ".served.f32"
    /// Holds the part of the progress that computing YᵀY counts for.
    private static let modelShare = 0.2
    /// So many users are solved before they are written, which takes some MiB.
    private static let blockUsers = 2_048

    /// Solves what has to be solved, and writes `users/` and `foldin.bin`, each where there is something to write.
    /// O(items × dimension² + users solved × dimension³ + interactions × dimension²).
    ///
    /// With ALS every user with a history gets the solved vector instead of the trainer's, which is what later events are
    /// added to; with ridge, which is no step of the trainer's, only users get one whom the trainer gave none.
    func write(progress: (Double) -> Void) throws -> Outcome {
        var outcome = Outcome()
        let model = try self.makeModel { progress($0 * Self.modelShare) }
        if let model {
            try FileSystem.write(Data(model.encoded), to: self.publisher.path(VersionLayout.foldIn))
            outcome.foldIn = Manifest.FoldIn(model.method)
        }
        guard self.trained != nil || self.histories != nil else { return outcome }
        outcome.histories = self.histories?.userCount ?? 0
        outcome.interactions = self.histories?.count ?? 0
        let roster = self.roster()
        let sampled = HeldOutQueries.count(
            items: self.vectors.rows,
            dimension: self.vectors.dimension,
            metric: self.recipe.metric
        )
        if let model, let histories = self.histories {
            let run = FoldInRun(model: model, vectors: self.vectors, histories: histories, threads: self.threads)
            let path = self.publisher.path(Self.servedFile)
            let served = try VectorFileWriter(path: path, rows: roster.count, dimension: self.vectors.dimension)
            // Each solve is one thread's; training, later, is for all of them again.
            BLASThreads.set(1)
            defer { BLASThreads.set(self.threads) }
            let without = try self.writeUsers(roster, run, served, &outcome, progress)
            try served.finish()
            if outcome.users > 0 {
                let file = try VectorFile(path: path, rows: roster.count, dimension: self.vectors.dimension)
                outcome.queries = self.queries(file, sampled, leavingOut: without)
            }
            try FileManager.default.removeItem(atPath: path)
        } else {
            _ = try self.writeUsers(roster, nil, nil, &outcome, progress)
            outcome.queries = self.trained.map { self.queries($0, sampled) }
        }
        if self.trained != nil {
            try FileManager.default.removeItem(atPath: self.publisher.path(Self.trainedFile))
        }
        return outcome
    }

    private func queries(_ file: VectorFile, _ count: Int, leavingOut: Set<Int> = []) -> HeldOutQueries {
        .users(
            file,
            count: count,
            seed: self.recipe.seed,
            isBiased: self.recipe.bias != nil,
            leavingOut: leavingOut
        )
    }

    private func makeModel(progress: (Double) -> Void) throws(AnnexError) -> FoldInModel? {
        guard let method = self.recipe.foldInMethod else { return nil }
        guard case .als = method else {
            return try FoldInModel(method: method, dimension: self.vectors.dimension, bias: self.recipe.modelBias)
        }
        let gram = self.vectors.withRows { rows in
            Gram.matrix(
                rows: rows,
                count: self.vectors.rows,
                stride: self.vectors.stride,
                dimension: self.vectors.dimension,
                threads: self.threads,
                progress: progress
            )
        }
        return try FoldInModel(method: method, dimension: self.vectors.dimension, gram: gram)
    }

    /// Lists the numbers of the users that have a vector or a history, in byte order of ids.
    private func roster() -> [Int] {
        guard let histories = self.histories else { return Array(self.known.identifiers.indices) }
        let trained = self.trained?.rows ?? 0
        let present = histories.identifiers.indices.filter { $0 < trained || histories.count(of: $0) > 0 }
        guard histories.identifiers.count > self.known.identifiers.count else { return present }
        return present.sorted { histories.identifiers[$0] < histories.identifiers[$1] }
    }

    /// Writes `users/`, block after block, and the vectors to `served`. Returns the places in the roster of users that
    /// have no vector.
    private func writeUsers(
        _ roster: [Int],
        _ run: FoldInRun?,
        _ served: VectorFileWriter?,
        _ outcome: inout Outcome,
        _ progress: (Double) -> Void
    ) throws -> Set<Int> {
        let writer = try UserStoreWriter(
            folder: self.publisher.path(VersionLayout.users),
            dimension: self.vectors.dimension,
            withHistories: self.histories != nil
        )
        var distances = FoldInDistances()
        var without: Set<Int> = []
        for first in stride(from: 0, to: roster.count, by: Self.blockUsers) {
            let users = roster[first..<min(first + Self.blockUsers, roster.count)]
            let solved = self.solve(users, run, &outcome)
            for (index, user) in zip(users.indices, users) {
                if let vector = solved[user] { self.withTrained(user) { distances.add(vector, $0) } }
                let hasVector = try self.withVector(user, solved[user]) { vector in
                    try self.append(user, vector, to: writer)
                    if let vector { try served?.write(row: vector, ordinal: index) }
                    return vector != nil
                }
                outcome.users += hasVector ? 1 : 0
                if !hasVector { without.insert(index) }
            }
            progress(Self.modelShare + (1 - Self.modelShare) * Double(users.endIndex) / Double(roster.count))
        }
        try writer.finish()
        if case .als? = run?.model.method {
            outcome.foldIn?.meanDistance = distances.mean
            outcome.foldIn?.distance99 = distances.percentile99
        }
        return without
    }

    /// Returns the vectors of those of some users that are to be solved and can be, by number.
    private func solve(_ users: ArraySlice<Int>, _ run: FoldInRun?, _ outcome: inout Outcome) -> [Int: [Float]] {
        guard let run else { return [:] }
        let trained = self.trained?.rows ?? 0
        let wanted = users.filter { user in
            guard run.histories.count(of: user) > 0 else { return false }
            if case .als = run.model.method { return true }
            return user >= trained
        }
        var solved: [Int: [Float]] = [:]
        for (user, vector) in zip(wanted, run.solve(wanted[...])) { solved[user] = vector }
        outcome.foldIn?.solvedUsers += solved.count
        outcome.foldIn?.unsolvedUsers += wanted.count - solved.count
        return solved
    }

    private func append(
        _ user: Int,
        _ vector: Span<Float>?,
        to writer: UserStoreWriter
    ) throws(AnnexError) {
        guard let histories = self.histories else {
            return try writer.append(self.known.identifiers[user], vector: vector, history: [HistoryEntry]())
        }
        try writer.append(histories.identifiers[user], vector: vector, history: histories.history(of: user))
    }

    /// Lends the trainer's vector of a user who has one.
    private func withTrained(_ user: Int, _ body: (Span<Float>) -> Void) {
        guard let trained = self.trained, user < trained.rows else { return }
        trained.withRow(user) { body($0) }
    }

    /// Lends the vector that is served: the solved one, else the trainer's, else none.
    private func withVector<R>(
        _ user: Int,
        _ solved: [Float]?,
        _ body: (Span<Float>?) throws -> R
    ) rethrows -> R {
        if let solved { return try body(solved.span) }
        guard let trained = self.trained, user < trained.rows else { return try body(nil) }
        return try trained.withRow(user) { try body($0) }
    }
}
