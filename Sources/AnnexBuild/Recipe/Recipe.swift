package import AnnexCore
package import AnnexFormats
import Foundation
import Yams

/// Says how an index is built, as `recipe.yaml` does, or the flags of `annctl build`.
package struct Recipe: Sendable, Equatable {
    /// The index's name.
    package var name: EntryName
    package var metric = Metric.ip
    /// The index is a factory string, or `auto`.
    package var index = "auto"
    /// Holds the target of recall@10, 0.5 to 1.
    package var recall = 0.99
    /// Names files; relative ones belong to `folder`. `FILE:NAME` picks an array of a `.npz`.
    package var vectors: String
    package var ids: String?
    package var attributes: String?
    package var users: String?
    package var userIDs: String?
    /// Holds the interactions that the factors were trained on, all up to `trainedUntil`: milliseconds since 1970.
    package var history: String?
    package var trainedUntil: Int64?
    /// Says how users' vectors follow from histories. With nil they do not.
    package var foldIn: FoldIn?
    /// Holds the parameters that the trainer was given, for `foldIn`; `alpha` is 1 where it is nil.
    package var regularization: Double?
    package var alpha: Double?
    /// Names, for a biased model, files of the items' and the users' biases, one per row of the factors, and the mean.
    package var bias: String?
    package var userBias: String?
    package var globalMean: Double?
    /// Names the file of SVD++'s second factors of the items, which it sums over a user's history. Its rows are as in
    /// `vectors`.
    package var implicitFactors: String?
    package var seed: UInt64 = 1
    /// Cores to use, 1 to 1,024; nil for all. How a version is built, not what it is: the manifest does not have it.
    package var threads: Int?
    package var skipBadRows = false
    /// Says which column of `.csv` and `.tsv` factors holds ids. With nil each file says so itself.
    package var idColumn: IdColumn?
    /// Names the columns of a `.csv` or `.tsv` history. With nil they are those that its heading tells, or user, item,
    /// weight, time.
    package var columns: InteractionColumns?
    /// Relative paths start from this folder.
    package var folder: String

    package init(name: EntryName, vectors: String, folder: String) {
        self.name = name
        self.vectors = vectors
        self.folder = folder
    }

    /// Returns a file of the recipe, to be opened.
    package func resolve(_ file: String) -> String { file.hasPrefix("/") ? file : self.folder + "/" + file }

    private static let keys = Self.foldInKeys.union(Self.biasKeys).union([
        "name", "metric", "index", "recall", "vectors", "ids", "attributes", "users", "user-ids", "seed",
        "threads", "skip-bad-rows", "id-column", "columns",
    ])

    /// Returns the recipe as the manifest has it: the keys of `recipe.yaml` and their values, defaults written out. A
    /// file that was given by its whole path is named by its last part, so that the same build elsewhere gives the same
    /// bytes.
    package var rendered: [String: String] {
        var out = [
            "name": self.name.value, "metric": self.metric.rawValue, "index": self.index, "recall": "\(self.recall)",
            "seed": "\(self.seed)", "skip-bad-rows": "\(self.skipBadRows)",
        ]
        out.merge(self.renderedFoldIn) { $1 }
        out.merge(self.renderedBias) { $1 }
        if let idColumn { out["id-column"] = idColumn.text }
        if let columns { out["columns"] = columns.text }
        for (key, file) in self.files { out[key] = file.hasPrefix("/") ? (file as NSString).lastPathComponent : file }
        return out
    }

    /// Returns the files that are given, by key.
    var files: [(key: String, file: String)] {
        let all: [(String, String?)] = [
            ("vectors", self.vectors), ("ids", self.ids), ("attributes", self.attributes), ("users", self.users),
            ("user-ids", self.userIDs), ("history", self.history), ("bias", self.bias), ("user-bias", self.userBias),
            ("implicit-factors", self.implicitFactors),
        ]
        return all.compactMap { key, file in file.map { (key: key, file: $0) } }
    }

    /// Reads `recipe.yaml`, at most 1 MiB. Unknown keys and wrong values are errors that name them.
    package static func read(_ path: String) throws(AnnexError) -> Recipe {
        func bad(_ why: String) -> AnnexError {
            AnnexError(.usage, why, at: path, hint: "Keys: " + Self.keys.sorted().joined(separator: ", "))
        }
        guard let data = FileManager.default.contents(atPath: path), data.count <= 1 << 20 else {
            throw AnnexError(.usage, "cannot read the recipe", at: path, hint: "It is a YAML file of at most 1 MiB")
        }
        guard let text = String(validating: data, as: UTF8.self) else { throw bad("is not UTF-8") }
        let node: Node?
        do { node = try Yams.compose(yaml: text) } catch { throw bad("not YAML: \(error)") }
        guard case .mapping(let mapping)? = node else { throw bad("a recipe is a list of 'key: value' lines") }
        var values: [String: String] = [:]
        for (key, value) in mapping {
            guard let key = key.string, Self.keys.contains(key) else {
                throw bad("unknown key '\(Printable.escape(key.string ?? "?"))'")
            }
            guard let scalar = value.scalar else { throw bad("'\(key)' is not a single value") }
            guard !scalar.string.isEmpty else { throw bad("'\(key)' has no value") }
            values[key] = scalar.string
        }
        guard let nameText = values["name"], let name = EntryName(nameText) else {
            throw bad("'name' is missing or not of [A-Za-z0-9][A-Za-z0-9._-]{0,63}")
        }
        guard let vectors = values["vectors"] else { throw bad("'vectors' is missing") }
        var recipe = Recipe(
            name: name,
            vectors: vectors,
            folder: (path as NSString).deletingLastPathComponent.isEmpty
                ? "." : (path as NSString).deletingLastPathComponent
        )
        try recipe.readScalars(values, bad)
        recipe.idColumn = try values["id-column"].map { text throws(AnnexError) in try IdColumn(parsing: text) }
        recipe.columns = try values["columns"].map { text throws(AnnexError) in try InteractionColumns(parsing: text) }
        recipe.ids = values["ids"]
        recipe.attributes = values["attributes"]
        recipe.users = values["users"]
        recipe.userIDs = values["user-ids"]
        do throws(AnnexError) {
            try recipe.readFoldIn(values)
            try recipe.readBias(values)
            try recipe.validate()
        } catch {
            throw AnnexError(error.code, error.message, at: path, hint: error.hint)
        }
        return recipe
    }

    /// Takes the values that are numbers, words or switches. `bad` makes the error.
    private mutating func readScalars(
        _ values: [String: String],
        _ bad: (String) -> AnnexError
    ) throws(AnnexError) {
        if let text = values["metric"] {
            guard let metric = Metric(rawValue: text) else {
                throw bad("metric '\(Printable.escape(text))' is not ip, cosine or l2")
            }
            self.metric = metric
        }
        self.index = values["index"] ?? "auto"
        if let text = values["recall"] {
            guard let recall = PlainNumber.decimal(text) else {
                throw bad("recall '\(Printable.escape(text))' is no number \(PlainNumber.advice)")
            }
            self.recall = recall
        }
        if let text = values["seed"] {
            guard let seed: UInt64 = PlainNumber.whole(text) else {
                throw bad("seed '\(Printable.escape(text))' is no whole number \(PlainNumber.advice)")
            }
            self.seed = seed
        }
        if let text = values["threads"] {
            guard let threads: Int = PlainNumber.whole(text) else {
                throw bad("threads '\(Printable.escape(text))' is no whole number \(PlainNumber.advice)")
            }
            self.threads = threads
        }
        if let text = values["skip-bad-rows"] {
            guard ["true", "false"].contains(text) else { throw bad("skip-bad-rows is true or false") }
            self.skipBadRows = text == "true"
        }
    }

    private static func isDelimited(_ file: String?) -> Bool { file.map { FactorSource($0).isDelimited } ?? false }

    /// Says how factor files are read.
    var factorRules: FactorRules {
        FactorRules(skipBadRows: self.skipBadRows, metric: self.metric, idColumn: self.idColumn)
    }

    /// Refuses contradictions before anything is read.
    package func validate() throws(AnnexError) {
        guard (0.5...1).contains(self.recall) else {
            throw AnnexError(.usage, "recall \(self.recall) is not between 0.5 and 1")
        }
        if let threads = self.threads {
            guard (1...1_024).contains(threads) else {
                throw AnnexError(.usage, "threads \(threads) is not between 1 and 1024")
            }
        }
        for (key, file) in self.files {
            guard !file.isEmpty, file.utf8.count <= 4_096, Printable.escape(file, limit: 4_096) == file else {
                throw AnnexError(.usage, "'\(key)' is no file name: '\(Printable.escape(file))'")
            }
        }
        guard self.userIDs == nil || self.users != nil || self.history != nil else {
            throw AnnexError(.usage, "user ids without users", hint: "Give the users' factors or their history too")
        }
        if self.idColumn != nil, ![self.vectors, self.users].contains(where: Self.isDelimited) {
            throw AnnexError(
                .usage,
                "id-column without factors in .csv or .tsv",
                hint: "Leave it out: other formats say themselves where ids are, or have them in a file of their own"
            )
        }
        if self.columns != nil, !Self.isDelimited(self.history) {
            throw AnnexError(.usage, "columns without a history in .csv or .tsv", hint: "Leave them out")
        }
        try self.validateFoldIn()
        try self.validateBias()
        if self.index != "auto" { _ = try IndexKind(parsing: self.index) }
    }

    /// Returns the kinds to build; of several the one that answers fastest is kept. `auto` takes those that fit size
    /// and metric:
    ///
    /// - one exact scan, always;
    /// - clusters by direction on `ip` and `cosine`, above 2,000 items;
    /// - a graph on `cosine` and `l2`, where norms say little, up to 2,000,000 items (FAISS takes minutes above); above,
    ///   on `l2`, inverted lists.
    package func kinds(rows: Int) throws(AnnexError) -> [IndexKind] {
        if self.index != "auto" { return [try IndexKind(parsing: self.index)] }
        guard rows > 2_000 else { return [try IndexKind(parsing: "Flat")] }
        // The number of lists is the next power of two: on ip 64 at 41,000 items and 512 at a million; on cosine, where
        // bounds rule out less, 512 and 2,048.
        let lists = Self.powerOfTwo(near: (self.metric == .ip ? 0.4 : 2.4) * Double(rows).squareRoot())
        let isSmall = rows <= 2_000_000
        let names: [String] =
            switch self.metric {
            case .ip: ["Flat", "IVF\(lists),SQ8"]
            case .cosine: ["Flat", "IVF\(lists),SQ8"] + (isSmall ? ["HNSW24"] : [])
            case .l2: ["Flat", isSmall ? "HNSW24" : "IVF\(lists),Flat"]
            }
        var kinds: [IndexKind] = []
        for name in names { kinds.append(try IndexKind(parsing: name)) }
        return kinds
    }

    /// - Parameter value: at least 1.
    static func powerOfTwo(near value: Double) -> Int { 1 << Int(log2(value).rounded()) }
}
