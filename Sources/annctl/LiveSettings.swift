import AnnexCore
import AnnexStore
import ArgumentParser
import Foundation

/// What users get of whom nothing is known.
enum ColdStart: String, CaseIterable, ExpressibleByArgument { case error, popular }

/// Settings of what changes while serving: from the configuration's file, then from flags.
struct LiveSettings {
    /// The folder of states; nil keeps none.
    var stateFolder: String?
    var cold = ColdStart.error
    var coldHalfLifeDays: Double?
    /// Seconds between looks at `current`; 0: never.
    var watchSeconds = 1.0

    func validate() throws {
        guard (0...3_600).contains(self.watchSeconds) else {
            throw AnnexError(.usage, "--watch is 0 to 3600 seconds, got \(self.watchSeconds)")
        }
        guard let coldHalfLifeDays else { return }
        guard self.cold == .popular else {
            throw AnnexError(.usage, "--cold-half-life is for --cold popular")
        }
        guard coldHalfLifeDays > 0, coldHalfLifeDays <= 36_500 else {
            throw AnnexError(.usage, "--cold-half-life is above 0 and at most 36500 days, got \(coldHalfLifeDays)")
        }
    }

    /// Opens the state of each index, each looked at by another process first. Blocks.
    func openStates(_ indexes: [EntryName]) throws -> [EntryName: StateStore] {
        guard let stateFolder else { return [:] }
        var states: [EntryName: StateStore] = [:]
        for index in indexes {
            let folder = stateFolder + "/" + index.value
            try StatePreflight.check(folder)
            var settings = StateSettings()
            settings.checksPages = false
            states[index] = try StateStore(folder, settings: settings)
        }
        return states
    }
}
