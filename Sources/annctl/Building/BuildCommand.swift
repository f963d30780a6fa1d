import AnnexBuild
import AnnexCore
import AnnexFormats
import AnnexNode
import ArgumentParser
import Foundation

struct BuildCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "build",
        abstract: "Build a version of an index from factors, measure its recall, publish it.",
        discussion: """
            Either from a recipe, whose folder becomes the index's:

              annctl build indexes/debian/recipe.yaml

            or from flags:

              annctl build --vectors items.npy --ids items.txt --users users.npy --user-ids users.txt --output indexes/shop

            With the history that the factors were trained on, users' vectors follow from it by the trainer's own equation:

              annctl build … --history train.npz --trained-until 1735689600000 --fold-in als --regularization 1.0 --alpha 10

            With biases (Surprise's SVD), scores are the model's own predictions:

              annctl build … --bias item_biases.npy --user-bias user_biases.npy --global-mean 3.53

            Index kinds: \(IndexKind.documentation); or auto, which builds those that fit size and metric and keeps the fastest.
            Factor files: .npy .npz (FILE:NAME picks an array) .fvecs .csv .tsv .jsonl .w2v (word2vec binary) .vec (word2vec \
            text), each also gzipped.
            """
    )

    @Argument(help: "The recipe.") var recipe: String?
    @Option(help: ArgumentHelp("Item factors.", valueName: "file")) var vectors: String?
    @Option(help: ArgumentHelp("Item ids, one per row, where the factor file has none.", valueName: "file")) var ids:
        String?
    @Option(help: ArgumentHelp("Item attributes: a JSON object per line with an id.", valueName: "file"))
    var attributes: String?
    @Option(help: ArgumentHelp("User factors.", valueName: "file")) var users: String?
    @Option(help: ArgumentHelp("User ids.", valueName: "file")) var userIds: String?
    @Option(
        help: ArgumentHelp(
            "Which column of .csv and .tsv factors holds ids: its number from 1 on, its name in the heading, or none. "
                + "(default: by the heading; without one the first, where it is text)",
            valueName: "column"
        )
    ) var idColumn: String?
    @OptionGroup var foldIn: FoldInOptions
    @OptionGroup var biases: BiasOptions
    @Option(help: "ip, cosine or l2. (default: ip)") var metric: String?
    @Option(help: ArgumentHelp("FAISS factory string, or auto. (default: auto)", valueName: "kind")) var index: String?
    @Option(help: "Target of recall@10; the build fails below it. (default: 0.99)") var recall: Double?
    @Option(help: ArgumentHelp("The index's folder, named as the index.", valueName: "folder")) var output: String?
    @Option(help: "Cores to use; with 1 the same input gives the same bytes. (default: all)") var threads: Int?
    @Option(help: "Seed of everything drawn at random. (default: 1)") var seed: UInt64?
    @Flag(help: "Leave bad rows out and list them in rejects-VERSION.jsonl, instead of stopping.") var skipBadRows =
        false

    func validate() throws {
        guard (self.recipe == nil) != (self.vectors == nil) else {
            throw ValidationError("Give a recipe, or --vectors and --output")
        }
        guard self.recipe != nil || self.output != nil else { throw ValidationError("Give --output indexes/NAME") }
        if let threads {
            guard (1...1_024).contains(threads) else { throw ValidationError("--threads is 1 to 1024, got \(threads)") }
        }
    }

    func run() throws {
        let (recipe, folder) = try self.makeRecipe()
        let bar = ProgressBar(stages: BuildProgress.Stage.all(of: recipe).map(\.rawValue))
        var pipeline = BuildPipeline(
            recipe: recipe,
            indexFolder: folder,
            threads: self.threads ?? recipe.threads ?? ProcessInfo.processInfo.activeProcessorCount,
            proof: VersionLoading.prove
        ) { bar.show($0.stage.rawValue, $0.fraction) }
        let result: BuildResult
        do { result = try pipeline.run() } catch {
            bar.end()
            throw error
        }
        bar.end()
        self.report(result)
    }

    private func makeRecipe() throws -> (Recipe, String) {
        var recipe: Recipe
        let folder: String
        if let file = self.recipe {
            recipe = try Recipe.read(file)
            folder = self.output ?? recipe.folder
        } else {
            folder = self.output ?? "."
            recipe = Recipe(name: try IndexFolder.name(of: folder), vectors: self.vectors ?? "", folder: ".")
        }
        let name = try IndexFolder.name(of: folder)
        guard name == recipe.name else {
            throw AnnexError(
                .usage,
                "the folder is named '\(name)', the recipe '\(recipe.name)'",
                at: folder,
                hint: "An index lies in a folder of its own name"
            )
        }
        if let metric {
            guard let known = Metric(rawValue: metric) else {
                throw AnnexError(.usage, "metric '\(Printable.escape(metric))' is not ip, cosine or l2")
            }
            recipe.metric = known
        }
        if let index { recipe.index = index }
        if let recall { recipe.recall = recall }
        if let seed { recipe.seed = seed }
        if let ids { recipe.ids = WorkingFolder.absolute(ids) }
        if let attributes { recipe.attributes = WorkingFolder.absolute(attributes) }
        if let users { recipe.users = WorkingFolder.absolute(users) }
        if let userIds { recipe.userIDs = WorkingFolder.absolute(userIds) }
        if let idColumn { recipe.idColumn = try IdColumn(parsing: idColumn) }
        if self.skipBadRows { recipe.skipBadRows = true }
        try self.foldIn.apply(to: &recipe)
        self.biases.apply(to: &recipe)
        try recipe.validate()
        return (recipe, folder)
    }

    private func report(_ result: BuildResult) {
        let manifest = result.manifest
        let measured = manifest.measured
        print("Published \(result.folder)")
        print(
            "\(manifest.items) items, \(manifest.users) users, \(manifest.dimension) dimensions, \(manifest.metric), \(manifest.kind)"
        )
        for line in BiasText.lines(manifest) + FoldInText.lines(manifest) { print(line) }
        for (candidate, micros) in zip(manifest.candidates ?? [], result.candidateMicros) {
            let result = candidate.recall.map { "recall \(Figures.fixed($0, 4))" } ?? "slower below the target"
            print(
                "  tried \(candidate.kind): \(result), \(Figures.fixed(micros, 1)) µs a query, "
                    + "\(Figures.fixed(candidate.bytesPerItem, 0)) bytes an item"
                    + (candidate.kind == manifest.kind ? " ← kept" : "")
            )
        }
        if let file = result.rejectsFile { print("\(manifest.rejectedRows) bad rows left out: \(file)") }
        if let missing = measured.unreachableItems {
            print(
                "\(missing) items (\(Figures.percent(Double(missing) / Double(manifest.items)))) were reached by no walk over "
                    + "the graph's level-0 links; \(measured.linksAdded ?? 0) added links lead to all of them"
            )
        }
        if let tried = measured.itemsLookedFor, let missed = measured.itemsMissed {
            print(
                "\(missed) of \(tried) items that walks looked for were not found; "
                    + "\(measured.bridgesAdded ?? 0) more links lead to where they are"
            )
        }
        print("recall@10 on \(measured.queryCount) held-out queries (\(measured.queries)), target \(measured.target):")
        print(MeasuredTable.render(measured))
        if let missed = measured.itemsNeverReturned, let standing = measured.itemsInTruth {
            print("\(standing) items stand in the top 10 of some query; \(missed) of them were returned to none")
        }
        print(
            "On the other half: recall \(Figures.fixed(measured.reportedRecall, 4)), worst query "
                + "\(Figures.fixed(measured.reportedWorst, 2)); \(Figures.fixed(result.microsPerQuery, 1)) µs a query"
        )
        if let most = manifest.measuredLeavingOut { print(MeasuredTable.line(most)) }
    }
}
