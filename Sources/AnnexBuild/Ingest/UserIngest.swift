import AnnexCore
import AnnexFormats
import AnnexIndex

/// Takes users into a version: the trainer's vectors, their histories, and the vectors that are solved from those. One
/// thread uses it, in the order `readFactors`, `readHistories`, `write`.
struct UserIngest {
    let recipe: Recipe
    let publisher: Publisher
    let vectors: VectorFile
    let items: KnownRows
    let threads: Int
    private(set) var rejects: [(file: String, row: RejectedRow)] = []

    private(set) var known = KnownRows()
    /// Holds the trainer's vectors of the known users. It is nil without any.
    private(set) var trained: VectorFile?
    private(set) var histories: HistoryIngest?

    init(recipe: Recipe, publisher: Publisher, vectors: VectorFile, items: KnownRows, threads: Int) {
        (self.recipe, self.publisher, self.vectors) = (recipe, publisher, vectors)
        (self.items, self.threads) = (items, threads)
    }

    static let trainedFile = ".users.f32"

    /// Counts the components of the factors, without the bias.
    private var factorDimension: Int {
        self.vectors.dimension - (self.recipe.bias == nil ? 0 : ModelBias.components)
    }

    /// Reads the users' factors, where there are any, into a file of their own.
    mutating func readFactors(progress: (Double) -> Void) throws {
        guard let file = self.recipe.users else { return }
        var users = MatrixIngest(
            vectors: self.recipe.resolve(file),
            ids: self.recipe.userIDs.map(self.recipe.resolve),
            bias: try self.recipe.userBiases(),
            what: "users",
            rules: self.recipe.factorRules
        )
        let path = self.publisher.path(Self.trainedFile)
        try users.run(to: path, progress: progress)
        guard users.storedDimension == self.vectors.dimension else {
            throw AnnexError(
                .badInput,
                "the users have \(users.dimension) dimensions, the items \(self.factorDimension)",
                at: self.recipe.resolve(file),
                hint: "The two files must come from the same model"
            )
        }
        self.rejects += users.rejects
        self.known = KnownRows(identifiers: users.identifiers, numbersOfRows: users.ordinalsOfRows)
        self.trained = try VectorFile(path: path, rows: users.identifiers.count, dimension: users.storedDimension)
    }

    /// Reads the history, where there is one.
    mutating func readHistories(progress: (Double) -> Void) throws {
        guard let file = self.recipe.history.map(self.recipe.resolve), let until = self.recipe.trainedUntil else {
            return
        }
        if self.trained == nil { try self.nameRows(file) }
        var histories = HistoryIngest(
            file: file,
            rules: HistoryRules(self.recipe, trainedUntil: until),
            items: self.items,
            users: self.known
        )
        try histories.run(progress: progress)
        self.rejects += histories.rejects.map { (file: file, row: $0) }
        self.histories = histories
        if let source = self.recipe.implicitFactors, let trained {
            let implicit = try ImplicitFactors(
                source: self.recipe.resolve(source),
                publisher: self.publisher,
                items: self.items,
                dimension: self.factorDimension
            )
            self.trained = try implicit.add(to: trained, at: self.publisher.path(Self.trainedFile), histories)
        }
    }

    /// Names the rows of a matrix where there are no factors: by the ids of the recipe's file, or by their numbers, 0,
    /// 1 and so on.
    private mutating func nameRows(_ file: String) throws(AnnexError) {
        guard
            case .matrix(let matrix) = try InteractionFile.open(file, skipBadRows: false, columns: self.recipe.columns)
        else {
            guard let ids = self.recipe.userIDs else { return }
            throw AnnexError(
                .usage,
                "user ids for a history that names its users",
                at: self.recipe.resolve(ids),
                hint: "Leave them out, or give the users' factors"
            )
        }
        let ids = try self.recipe.userIDs.map { ids throws(AnnexError) in
            try IdentifierFile.read(self.recipe.resolve(ids), skipBadRows: self.recipe.skipBadRows)
        }
        let names = ids ?? (0..<matrix.rows).map { Identifier("\($0)") }
        guard names.count == matrix.rows else {
            throw AnnexError(
                .badInput,
                "has \(names.count) ids for \(matrix.rows) rows of \(file)",
                at: self.recipe.userIDs.map(self.recipe.resolve),
                hint: "The two files must come from the same model"
            )
        }
        let order = names.indices.filter { names[$0] != nil }.sorted { a, b in
            guard let first = names[a], let second = names[b] else { return false }
            return first < second || (first == second && a < b)
        }
        self.known.numbersOfRows = [Int32](repeating: -1, count: names.count)
        for row in order {
            guard let id = names[row] else { continue }
            guard id != self.known.identifiers.last else {
                throw AnnexError(
                    .badInput,
                    "the id '\(id)' stands in an earlier row too",
                    at: (self.recipe.userIDs.map(self.recipe.resolve) ?? file) + ":\(row + 1)",
                    hint: "Ids must differ"
                )
            }
            self.known.numbersOfRows[row] = Int32(self.known.identifiers.count)
            self.known.identifiers.append(id)
        }
    }
}
